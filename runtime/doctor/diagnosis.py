"""What can run on this machine, and what would run a bundle."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import msgspec

from denet.errors import DenetError
from runtime.backends import BACKENDS, BackendError
from runtime.backends.choose import AUTO
from runtime.backends.onnxruntime.releases import why_no_int8
from runtime.backends.tensorrt.files import find_engines
from runtime.backends.tensorrt.machine import this_machine
from runtime.backends.tensorrt.trust import trusted_by
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PRECISIONS, cpu_platforms, variant
from runtime.doctor.advice import Advice, advise, advise_bundle
from runtime.doctor.software import (
    PROVIDERS,
    RTX_PLUGIN,
    BundleChoice,
    Software,
    inspect_software,
    would_run,
)
from runtime.machine import Machine, read_machine

TENSORRT = ("tensorrt", "ort-trt", "ort-trt-rtx")
"""The backends that take what was made for TensorRT."""


class EngineStock(msgspec.Struct, frozen=True, kw_only=True):
    """TensorRT engines of one precision: how many of how many this machine may load, and of the
    others how many are missing or stale for what reason."""

    ready: int
    of: int
    missing: dict[str, int]


class BundleReport(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle on this machine.

    Attributes:
        path: of the bundle.
        precisions: that it has, each with the reason why it cannot run here.
        engines: of TensorRT by precision; empty where there is no TensorRT to load one.
        chosen: what would run it; None where what was asked for cannot be had.
    """

    path: str
    precisions: dict[str, str | None]
    engines: dict[str, EngineStock]
    chosen: BundleChoice | None


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All that `denet doctor` finds; `msgspec.to_builtins` makes plain data of it.

    Attributes:
        machine: its hardware and system.
        python: the version of Python.
        software: what is installed.
        int8: the forms of INT8 that its CPU takes, the best first.
        no_int8: why it takes none.
        backends: all there are, each with the reason why it cannot run here.
        order: what "auto" tries.
        bundle: the bundle, where one was named.
        advice: what to do for more.
        refusal: why what was asked for cannot be had.
    """

    machine: Machine
    python: str
    software: Software
    int8: tuple[str, ...]
    no_int8: str | None
    backends: dict[str, str | None]
    order: tuple[str, ...]
    bundle: BundleReport | None
    advice: tuple[Advice, ...]
    refusal: str | None

    def insist(self) -> None:
        """Refuse where what was asked for cannot be had.

        Raises:
            BackendError: it cannot.
        """
        if self.refusal is not None:
            raise BackendError(self.refusal)


def diagnose(path: Path | None = None, backend: str = "auto", precision: str = "auto") -> Diagnosis:
    """Look at this machine, and at a bundle on it.

    Args:
        path: of the bundle.
        backend: one of `BACKENDS`; a name is a demand.
        precision: of the bundle; a name is a demand.

    Raises:
        BackendError: there is no backend of that name.
        BundleError: there is no bundle, or it is damaged.
        DenetError: a precision without a bundle.
    """
    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: choose from {', '.join(BACKENDS)}")
    if path is None and precision != "auto":
        raise DenetError("--precision is a bundle's: name the BUNDLE, too")
    bundle = None if path is None else Bundle.open(path)
    machine = read_machine()
    software = inspect_software(machine.gpu is not None)
    backends = {name: why_not(name, machine, software) for name in BACKENDS if name != "auto"}
    advice = [*advise(machine, software, backends)]
    refusal = _refusal(backend, backends)
    version = software.onnxruntime.version
    no_int8 = None if version is None else why_no_int8(version)
    report = None
    if bundle is not None:
        chosen = refusal or would_run(bundle, backend, precision)
        report = BundleReport(
            path=str(bundle.root),
            precisions={
                name: _why_not_here(name, backends, no_int8) for name in bundle.manifest.variants
            },
            engines=_find(bundle, software),
            chosen=chosen if isinstance(chosen, BundleChoice) else None,
        )
        refusal = chosen if isinstance(chosen, str) else None
        lacking = any(engines.missing for engines in report.engines.values())
        advice += advise_bundle(report.path, report.precisions, lacking, backends)
    return Diagnosis(
        machine=machine,
        python=sys.version.partition(" ")[0],
        software=software,
        int8=() if no_int8 else tuple(variant("int8", platform) for platform in cpu_platforms()),
        no_int8=no_int8,
        backends=backends,
        order=AUTO,
        bundle=report,
        advice=tuple(advice),
        refusal=refusal,
    )


def why_not(backend: str, machine: Machine, software: Software) -> str | None:
    """Why a backend cannot run here; None if it can."""
    if backend != "ort-cpu" and machine.gpu is None:
        if machine.nvidia_card:
            return "there is an NVIDIA card, but no CUDA driver that sees it"
        return "no NVIDIA GPU was found"
    if backend == "tensorrt":
        behind = software.tensorrt_backend
        if behind is not None and not re.match(r"TensorRT \d", behind):
            return f"in the place of TensorRT, there is {behind}"
        for name, package in (("TensorRT", software.tensorrt), ("PyCUDA", software.pycuda)):
            if package.reason is not None:
                return f"{name}: {package.reason}"
        return None
    if software.onnxruntime.reason is not None:
        return f"ONNX Runtime: {software.onnxruntime.reason}"
    provider = PROVIDERS[backend]
    if provider not in software.providers and backend == "ort-trt-rtx":
        return f"{RTX_PLUGIN} is not installed"
    if provider not in software.providers:
        return f"this ONNX Runtime was built without {provider}"
    return software.providers[provider]


def _refusal(backend: str, backends: dict[str, str | None]) -> str | None:
    if backend != "auto":
        why = backends[backend]
        return why and f"{backend} cannot run here: {why}"
    return f"nothing can run here: {backends['ort-cpu']}" if all(backends.values()) else None


def _why_not_here(
    name: str, backends: dict[str, str | None], no_int8: str | None = None
) -> str | None:
    """Why a variant of a bundle cannot run: it was made for other hardware."""
    made_for = name.partition("-")[2]
    if made_for == "trt":
        able = any(backends.get(backend, "") is None for backend in TENSORRT)
        return None if able else "it is made for TensorRT, which cannot run here"
    if made_for and made_for not in cpu_platforms():
        return "it is made for a CPU with VNNI"
    return no_int8 if made_for else None


def _find(bundle: Bundle, software: Software) -> dict[str, EngineStock]:
    if software.tensorrt.version is None:
        return {}
    module = ModuleType("tensorrt")  # which this process has not loaded
    module.__dict__.update(
        __version__=software.tensorrt.version, __backend__=software.tensorrt_backend
    )
    here, trusted = this_machine(module), trusted_by(bundle, None)
    found = {}
    for precision in PRECISIONS:
        if (forms := bundle.manifest.forms(precision, "trt")) is not None:
            engines = find_engines(bundle, here, forms, trusted)
            # A reason begins with the file that it is of.
            reasons = Counter(why.partition(": ")[2] for why in engines.missing.values())
            found[variant(precision, "trt")] = EngineStock(
                ready=len(engines.engines), of=len(forms), missing=dict(reasons)
            )
    return found
