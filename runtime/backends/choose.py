"""Which backend runs a bundle: the one asked for by name, or the best that this machine has."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from runtime.backends.base import Backend, BackendError
from runtime.bundle import Bundle
from runtime.forms import PRECISIONS, Forms, Precision, Target, cpu_targets, variant

BACKENDS = ("auto", "ort-cuda", "ort-cpu")


@dataclass(frozen=True)
class Choice:
    """A backend, its precision, and one sentence that says why it is this one.

    Attributes:
        precision: what was asked for, or what "auto" came to.
        variant: the same with what INT8 was made for: "int8-vnni".
        forms: of each engine.
    """

    backend: Backend
    precision: Precision
    variant: str
    forms: Forms
    reason: str


def choose(bundle: Bundle, backend: str, precision: str, threads: int | None) -> Choice:
    """Make the backend called `backend` for `bundle`.

    What is asked for by name is delivered or refused. "auto" takes the GPU where ONNX Runtime
    can use one, else the CPU, and the bundle's default precision, or FP32 where that was made
    for other hardware; the reason says so.

    Args:
        bundle: the bundle whose engines it will run.
        backend: one of `BACKENDS`.
        precision: "auto", or one that the bundle has.
        threads: CPU threads of the process-wide pool; None leaves the choice to ONNX Runtime.

    Raises:
        BackendError: it cannot be had here, or the bundle lacks the precision.
    """
    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: choose from {', '.join(BACKENDS)}")
    if backend != "auto":
        device = backend.removeprefix("ort-")
        return _made(bundle, device, precision, threads, "asked for by name")
    if not nvidia_gpu_present():
        reason = "no NVIDIA GPU was found"
    else:
        try:
            found = "an NVIDIA GPU was found, and ONNX Runtime can use it"
            return _made(bundle, "cuda", precision, threads, found)
        except BackendError as error:
            reason = f"an NVIDIA GPU was found, but cannot be used: {error}"
    return _made(bundle, "cpu", precision, threads, reason)


def _made(bundle: Bundle, device: str, precision: str, threads: int | None, reason: str) -> Choice:
    from runtime.backends.onnxruntime import OnnxRuntimeBackend

    targets: tuple[Target | None, ...] = cpu_targets() if device == "cpu" else (None,)
    chosen, target, forms = _forms(bundle, precision, targets)
    default = bundle.manifest.default_precision
    if precision == "auto" and chosen != default:
        reason += f"; the bundle has no {default} for ort-{device} here, so {chosen}"
    backend = OnnxRuntimeBackend(bundle, forms, device=device, threads=threads)
    return Choice(backend, chosen, variant(chosen, target), forms, reason)


def _forms(
    bundle: Bundle, wanted: str, targets: tuple[Target | None, ...]
) -> tuple[Precision, Target | None, Forms]:
    """What runs on one of `targets`, the best first, as `wanted`."""
    manifest = bundle.manifest
    asked: tuple[str, ...] = (manifest.default_precision, "fp32") if wanted == "auto" else (wanted,)
    for name in asked:
        for precision in PRECISIONS:
            for target in targets:
                if precision == name and (forms := manifest.forms(precision, target)) is not None:
                    return precision, target, forms
    runnable = {variant(p, t) for p in PRECISIONS for t in targets if t or p[0] == "f"}
    raise BackendError(
        f"{bundle.root}: has no engines in precision {wanted!r} for this machine: of its "
        f"{', '.join(manifest.variants)}, {', '.join(sorted(runnable & set(manifest.variants)))} "
        "can run here"
    )


def nvidia_gpu_present() -> bool:
    """Whether the CUDA driver is installed and sees a device. Loads nothing heavy."""
    library = "nvcuda.dll" if hasattr(ctypes, "WinDLL") else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )
