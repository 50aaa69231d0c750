"""Which backend runs a bundle: the one asked for by name, or the best that this machine has."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from denet.errors import DenetError
from runtime.backends.base import Backend, BackendError
from runtime.backends.tensorrt.files import Found, find_engines
from runtime.backends.tensorrt.opening import open_gpu
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PRECISIONS, Forms, Platform, Precision, cpu_platforms, variant
from runtime.bundle.manifest import BUILT, Manifest
from runtime.machine.cuda_driver import find_driver

BACKENDS = ("auto", "tensorrt", "ort-trt", "ort-trt-rtx", "ort-cuda", "ort-cpu")

AUTO = ("tensorrt", "ort-cuda", "ort-cpu")
"""What "auto" tries, in this order; without a GPU, the last alone. The other two compile every
engine when it is first loaded, which takes minutes: they run when they are asked for."""


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


@dataclass(frozen=True)
class _Wish:
    """What the user asked for."""

    bundle: Bundle
    precision: str
    threads: int | None
    max_batch: int
    cuda_context: Any
    key: Path | None
    own_pool: bool
    cache: Path | None

    def note(self, backend: str, chosen: Precision) -> str:
        """What to say where "auto" did not come to the bundle's default."""
        default = self.bundle.manifest.default_precision
        if self.precision != "auto" or chosen == default:
            return ""
        return f"; the bundle has no {default} for {backend} here, so {chosen}"


def choose(
    bundle: Bundle,
    backend: str,
    precision: str,
    threads: int | None,
    *,
    max_batch: int = 16,
    cuda_context: Any = "own",
    key: Path | None = None,
    own_pool: bool = False,
    cache: Path | None = None,
) -> Choice:
    """Make the backend called `backend` for `bundle`.

    What is asked for by name is delivered or refused. "auto" takes TensorRT where engines of the
    bundle are built for this machine, else ONNX Runtime on the GPU, else the CPU; and the bundle's
    default precision, or FP32 where that was made for other hardware. The reason says so.

    Args:
        bundle: the bundle whose engines it will run.
        backend: one of `BACKENDS`.
        precision: "auto", or one that the bundle has.
        threads: CPU threads of the process-wide pool; None for the cores that may be used.
        max_batch: the largest batch that is wanted.
        cuda_context: that the backend "tensorrt" runs in: a `CudaContext` of its `cuda` module.
        key: a file of public keys; TensorRT engines that others built are taken if one has signed
            for them.
        own_pool: of ONNX Runtime: threads for each engine instead of the process-wide pool.
        cache: a folder where ONNX Runtime's optimized graphs for this CPU are kept; None for no
            such thing.

    Raises:
        BackendError: it cannot be had here, or the bundle lacks the precision.
    """
    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: choose from {', '.join(BACKENDS)}")
    wish = _Wish(bundle, precision, threads, max_batch, cuda_context, key, own_pool, cache)
    if backend != "auto":
        return _make(wish, backend, "asked for by name")
    *on_a_gpu, last = AUTO
    if not nvidia_gpu_present():
        return _make(wish, last, "no NVIDIA GPU was found")
    refused: list[str] = []
    for name in on_a_gpu:
        try:
            return _make(wish, name, "; ".join(["an NVIDIA GPU was found", *refused]))
        except DenetError as error:
            refused.append(f"not {name}: {error}")
    return _make(wish, last, "; ".join(["an NVIDIA GPU was found", *refused]))


def _make(wish: _Wish, backend: str, reason: str) -> Choice:
    return _tensorrt(wish, reason) if backend == "tensorrt" else _ort(wish, backend, reason)


def _ort(wish: _Wish, name: str, reason: str) -> Choice:
    from runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
    from runtime.backends.onnxruntime.providers import PROVIDERS

    provider = PROVIDERS[name]
    platforms = cpu_platforms() if provider.is_cpu else (provider.platform,)
    chosen, platform, forms = next(_forms(wish, platforms))
    backend = OnnxRuntimeBackend(
        wish.bundle,
        forms,
        provider,
        threads=wish.threads,
        max_batch=wish.max_batch,
        own_pool=wish.own_pool,
        cache=wish.cache,
    )
    reason += wish.note(name, chosen)
    return Choice(backend, chosen, variant(chosen, platform), forms, reason)


def _tensorrt(wish: _Wish, reason: str) -> Choice:
    from runtime.backends.tensorrt.backend import TensorRTBackend
    from runtime.backends.tensorrt.machine import load_tensorrt, this_machine
    from runtime.backends.tensorrt.trust import trusted_by

    bundle = wish.bundle
    if not (bundle.root / BUILT).is_dir():
        raise BackendError(f"{bundle.root}: no TensorRT engine was built for it: {_build(bundle)}")
    here = this_machine(load_tensorrt())
    trusted = trusted_by(bundle, wish.key)
    incomplete: list[Found] = []
    for chosen, platform, forms in _forms(wish, ("trt",)):
        found = find_engines(bundle, here, forms, trusted)
        if not found.missing:
            device = partial(open_gpu, wish.cuda_context)
            backend = TensorRTBackend(found.engines, bundle.manifest.engines, device)
            reason += wish.note("tensorrt", chosen)
            return Choice(backend, chosen, variant(chosen, platform), forms, reason)
        incomplete.append(found)
    missing = incomplete[0].missing
    engine = next(iter(missing))
    more = f" ({len(missing)} such engines)" if len(missing) > 1 else ""
    raise BackendError(f"{engine}: {missing[engine]}{more}: {_build(bundle)}")


def _build(bundle: Bundle) -> str:
    return f"run `denet build {bundle.root}` on this machine"


def _forms(
    wish: _Wish, platforms: tuple[Platform | None, ...]
) -> Iterator[tuple[Precision, Platform | None, Forms]]:
    """What of the bundle runs on one of `platforms` as wished, the best first; at least one.

    Raises:
        BackendError: nothing.
    """
    manifest = wish.bundle.manifest
    found = runnable_forms(manifest, wish.precision, platforms)
    if not found:
        runnable = {variant(p, t) for p in PRECISIONS for t in platforms if t or p[0] == "f"}
        here = ", ".join(sorted(runnable & set(manifest.variants)))
        raise BackendError(
            f"{wish.bundle.root}: has no engines in precision {wish.precision!r} for this "
            f"machine: of its {', '.join(manifest.variants)}, {here or 'none'} can run here: "
            f"choose one with --precision, or make others with `denet calibrate`"
        )
    return iter(found)


def wanted_precisions(manifest: Manifest, precision: str) -> tuple[str, ...]:
    """What will do for `precision`, the best first: for "auto" the bundle's default, or FP32."""
    if precision != "auto":
        return (precision,)
    return tuple(dict.fromkeys((manifest.default_precision, "fp32")))


def runnable_forms(
    manifest: Manifest, precision: str, platforms: Sequence[Platform | None]
) -> list[tuple[Precision, Platform | None, Forms]]:
    """What of a bundle will do for `precision` on one of `platforms`, the best first."""
    return [
        (known, platform, forms)
        for name in wanted_precisions(manifest, precision)
        for known in PRECISIONS
        for platform in platforms
        if known == name and (forms := manifest.forms(known, platform)) is not None
    ]


def nvidia_gpu_present() -> bool:
    """Whether the CUDA driver is installed and sees a device. Loads nothing heavy."""
    driver, count = find_driver(), ctypes.c_int(0)
    return (
        driver is not None
        and driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )
