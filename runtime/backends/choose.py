"""Which backend runs a bundle: the one asked for by name, or the best that this machine has."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from runtime.backends.base import Backend, BackendError
from runtime.bundle import Bundle, Precision

BACKENDS = ("auto", "ort-cuda", "ort-cpu")


@dataclass(frozen=True)
class Choice:
    """A backend, its precision, and one sentence that says why it is this one."""

    backend: Backend
    precision: Precision
    reason: str


def choose(bundle: Bundle, backend: str, precision: str, threads: int | None) -> Choice:
    """Make the backend called `backend` for `bundle`.

    What is asked for by name is delivered or refused. "auto" takes the GPU where ONNX Runtime
    can use one, else the CPU, and the bundle's default precision; the reason says so.

    Args:
        bundle: the bundle whose engines it will run.
        backend: one of `BACKENDS`.
        precision: "auto", or one that the bundle has.
        threads: CPU threads of the process-wide pool; None leaves the choice to ONNX Runtime.

    Raises:
        BackendError: it cannot be had here, or the bundle lacks the precision.
    """
    from runtime.backends.onnxruntime import OnnxRuntimeBackend

    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: choose from {', '.join(BACKENDS)}")
    chosen = _precision(bundle, precision)
    if backend != "auto":
        return Choice(
            OnnxRuntimeBackend(
                bundle, chosen, device=backend.removeprefix("ort-"), threads=threads
            ),
            chosen,
            "asked for by name",
        )
    if not nvidia_gpu_present():
        reason = "no NVIDIA GPU was found"
    else:
        try:
            cuda = OnnxRuntimeBackend(bundle, chosen, device="cuda", threads=threads)
            return Choice(cuda, chosen, "an NVIDIA GPU was found, and ONNX Runtime can use it")
        except BackendError as error:
            reason = f"an NVIDIA GPU was found, but cannot be used: {error}"
    return Choice(OnnxRuntimeBackend(bundle, chosen, device="cpu", threads=threads), chosen, reason)


def _precision(bundle: Bundle, wanted: str) -> Precision:
    if wanted == "auto":
        return bundle.manifest.default_precision
    for precision in bundle.manifest.precisions:
        if precision == wanted:
            return precision
    raise BackendError(
        f"{bundle.root}: has no engines in precision {wanted!r}, "
        f"only in {', '.join(bundle.manifest.precisions)}"
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
