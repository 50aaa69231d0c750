"""ONNX Runtime's execution providers: which there are, and with what options they run an engine."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from denet.packages import absent, broken
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.library import ort
from runtime.backends.tensorrt.files import Profile, profile_of
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form, Platform

RTX_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
"""The package that brings TensorRT-RTX to ONNX Runtime 1.24 or later."""


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    Attributes:
        backend: what `denet` calls it.
        name: what ONNX Runtime calls it.
        platform: what INT8 has to be made for; None where it has no INT8 of its own.
        needs: what must be installed for it.
        prefix: of its options for shapes; None where it takes any shape.
        options: what it is started with.
    """

    backend: str
    name: str
    platform: Platform | None
    needs: str
    prefix: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_cpu(self) -> bool:
        return self.backend == "ort-cpu"

    def check(self) -> None:
        """See that this ONNX Runtime has it.

        Raises:
            BackendError: it has not; says what to install.
        """
        if not self.is_cpu and hasattr(ort, "preload_dlls"):
            # CUDA and cuDNN that came with pip are not found otherwise. What is not there it tells
            # on the standard output, which is not ours to fill; the session that fails says more.
            with redirect_stdout(sys.stderr):
                ort.preload_dlls()
        if self.name not in ort.get_available_providers() and not self.devices():
            raise BackendError(f"{self.backend}: this ONNX Runtime has no {self.name}: {_LACKING}")

    def devices(self) -> list[Any]:
        """What a provider that is a plugin runs on; empty if it is none."""
        return _plugin_devices() if self.backend == "ort-trt-rtx" else []

    def for_engine(self, bundle: Bundle, engine: str, form: Form, batch: int) -> Provider:
        """The same with the options for one engine, in batches of 1 to `batch`.

        TensorRT compiles an engine when its session is made; what it made is kept in the user's
        cache, in a folder named by the engine's content.
        """
        if self.prefix is None:
            return self
        entry = bundle.manifest.engines[engine]
        profile = profile_of(entry, (1, 1, batch))
        options = {
            f"{self.prefix}_profile_{which}_shapes": _shapes(profile, index)
            for index, which in enumerate(("min", "opt", "max"))
        }
        if self.prefix == "trt":
            key = hashlib.sha256(f"{entry.files[form].sha256} {options}".encode()).hexdigest()[:16]
            kept = str(_cache() / key)
            options |= {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": kept,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": kept,
                # TensorRT may then compute in the types that the ONNX file has, not that it must.
                "trt_fp16_enable": str(int(form != "fp32")),
                "trt_int8_enable": str(int(form.startswith("int8"))),
            }
        return replace(self, options=options)


CPU = Provider("ort-cpu", "CPUExecutionProvider", None, "nothing")
CUDA = Provider("ort-cuda", "CUDAExecutionProvider", None, "CUDA and cuDNN")
TENSORRT = Provider(
    "ort-trt", "TensorrtExecutionProvider", "trt", "TensorRT, CUDA and cuDNN", prefix="trt"
)
TENSORRT_RTX = Provider(
    "ort-trt-rtx",
    "NvTensorRTRTXExecutionProvider",
    "trt",
    f"the package {RTX_PLUGIN.replace('_', '-')}",
    prefix="nv",
)

PROVIDERS = {p.backend: p for p in (TENSORRT, TENSORRT_RTX, CUDA, CPU)}

_LACKING = (
    "install onnxruntime-gpu for CUDA and TensorRT; for TensorRT-RTX, onnxruntime with "
    "onnxruntime-ep-nv-tensorrt-rtx"
)


@cache
def _plugin_devices() -> list[Any]:
    """The GPUs that the TensorRT-RTX plugin offers; none where it is not installed."""
    try:
        import onnxruntime_ep_nv_tensorrt_rtx as plugin
    except (ImportError, OSError) as error:
        if absent(error, RTX_PLUGIN):
            return []
        name = RTX_PLUGIN.replace("_", "-")
        raise BackendError(f"ort-trt-rtx: {broken(name, error)}") from error
    try:
        ort.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
        return [d for d in ort.get_ep_devices() if d.ep_name == plugin.get_ep_name()][:1]
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise BackendError(f"ort-trt-rtx: its plugin cannot be used: {error}") from None


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "denet" / "ort-trt"


def _shapes(profile: Profile, which: int) -> str:
    """As the providers want it: "base:1x2x512,sum:1x2x512"."""
    return ",".join(
        f"{name}:{'x'.join(map(str, shapes[which]))}" for name, shapes in profile.items()
    )
