"""Which packages are installed, and whether they work.

Each is tried in a process of its own: one that is broken, or crashes, is a line of the report.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np

from denet.packages import absent, broken
from runtime.backends import choose
from runtime.backends.onnxruntime.smallest import RELU
from runtime.backends.tensorrt.machine import this_machine
from runtime.bundle.bundle import Bundle

PATIENCE = 180.0
"""Seconds that a package has to answer: TensorRT takes many to load on a small machine."""

PROVIDERS = {
    "ort-cpu": "CPUExecutionProvider",
    "ort-cuda": "CUDAExecutionProvider",
    "ort-trt": "TensorrtExecutionProvider",
    "ort-trt-rtx": "NvTensorRTRTXExecutionProvider",
}
"""What ONNX Runtime calls the hardware of each of its backends."""

RTX_PLUGIN = "onnxruntime-ep-nv-tensorrt-rtx"

BOOT = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from runtime.doctor.software import answer; answer(sys.argv[1])"
)
"""The modules are looked for where this process finds them, not in the current directory."""

ABSENT = "not installed"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package: its version, or why it cannot be used."""

    version: str | None = None
    reason: str | None = None


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed.

    Attributes:
        onnxruntime: ONNX Runtime.
        providers: its execution providers, each with the reason why it cannot start. Those for
            GPUs are tried only where there is one.
        tensorrt: the module `tensorrt`.
        tensorrt_backend: what is behind it: "TensorRT 10.3.0", or what stands in for that.
        pycuda: PyCUDA.
        cuda_python: the module `cuda.bindings`.
    """

    onnxruntime: Package
    providers: dict[str, str | None]
    tensorrt: Package
    tensorrt_backend: str | None
    pycuda: Package
    cuda_python: Package


class BundleChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The backend and precision that would run a bundle, and the sentence that says why."""

    backend: str
    precision: str
    variant: str
    reason: str


def inspect_software(has_gpu: bool) -> Software:
    """What is installed.

    Args:
        has_gpu: whether there is a GPU to try ONNX Runtime's providers with.
    """
    questions = [("onnxruntime", has_gpu), ("tensorrt",), ("pycuda",), ("cuda.bindings",)]
    with ThreadPoolExecutor(len(questions)) as pool:
        ort, trt, pycuda, cuda_python = pool.map(lambda question: _ask(*question), questions)
    return Software(
        onnxruntime=_package(ort),
        providers=ort.get("providers", {}),
        tensorrt=_package(trt),
        tensorrt_backend=trt.get("backend"),
        pycuda=_package(pycuda),
        cuda_python=_package(cuda_python),
    )


def would_run(bundle: Bundle, backend: str, precision: str) -> BundleChoice | str:
    """What `runtime.backends.choose` takes for the bundle, or why it refuses."""
    told = _ask("choose", str(bundle.root), backend, precision)
    return told["because"] if "because" in told else msgspec.convert(told, BundleChoice)


def _ask(*question: object) -> dict[str, Any]:
    """Ask one of `QUESTIONS` in a process of its own. If it has no answer, "because" says why."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", BOOT, json.dumps(question), *sys.path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return {"because": f"no answer in {PATIENCE:.0f} seconds"}
    complaints = done.stderr.decode(errors="replace")
    try:
        # What was said counts, also where a library crashes when its process ends.
        told: dict[str, Any] = json.loads(done.stdout.decode(errors="replace").splitlines()[-1])
    except (IndexError, ValueError):
        if done.returncode < 0:
            return {"because": f"it crashes (signal {-done.returncode})"}
        last = (complaints.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"because": f"it ends its process: {last}"}
    for provider, reason in told.get("providers", {}).items():
        # ONNX Runtime logs which library it lacks, and raises something else.
        library = provider.removesuffix("ExecutionProvider")
        lacks = re.search(rf"_{library}\.\S+ with error: (.+)", complaints, re.IGNORECASE)
        if reason is not None and lacks:
            told["providers"][provider] = lacks[1].strip()
    return told


def _package(told: dict[str, Any]) -> Package:
    return Package(version=told.get("version"), reason=told.get("because"))


# What follows runs in that process


def answer(request: str) -> None:
    """Answer a question, given in JSON as its name and arguments, on standard output."""
    name, *arguments = json.loads(request)
    try:
        told = QUESTIONS[name](*arguments)
    except Exception as error:  # a broken package may raise anything
        missing = absent(error, name, name.partition(".")[0])
        first = str(error).strip().partition("\n")[0]
        told = {"because": ABSENT if missing else first or type(error).__name__}
    print(f"\n{json.dumps(told)}", flush=True)


def _onnxruntime(has_gpu: bool) -> dict[str, Any]:
    from runtime.backends.onnxruntime.library import ort

    if has_gpu and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN that came with pip are not found without it
    tried = set(PROVIDERS.values()) if has_gpu else {PROVIDERS["ort-cpu"]}
    listed = ort.get_available_providers()
    providers = {name: _start(ort, name) if name in tried else None for name in listed}
    return {"version": ort.__version__, "providers": providers | _rtx_plugin(ort)}


def _start(ort: Any, provider: str) -> str | None:
    """Why ONNX Runtime cannot start a provider; None if it can."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(RELU, options, providers=[provider])
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:  # its exceptions have no common base class
        return str(error).partition("\n")[0]
    return None if provider in session.get_providers() else "ONNX Runtime cannot start it"


def _rtx_plugin(ort: Any) -> dict[str, str | None]:
    """TensorRT-RTX as a package beside ONNX Runtime, where it is installed."""
    try:
        plugin = importlib.import_module(RTX_PLUGIN.replace("-", "_"))
    except ImportError as error:
        lacking = absent(error, RTX_PLUGIN.replace("-", "_"))
        return {} if lacking else {PROVIDERS["ort-trt-rtx"]: broken(RTX_PLUGIN, error)}
    try:
        ort.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
        found = any(device.ep_name == plugin.get_ep_name() for device in ort.get_ep_devices())
    except Exception as error:  # as above
        return {PROVIDERS["ort-trt-rtx"]: str(error).partition("\n")[0]}
    return {PROVIDERS["ort-trt-rtx"]: None if found else f"{RTX_PLUGIN} sees no GPU"}


def _tensorrt() -> dict[str, Any]:
    machine = this_machine(importlib.import_module("tensorrt"))
    return {"version": machine.tensorrt, "backend": machine.backend}


def _pycuda() -> dict[str, Any]:
    importlib.import_module("pycuda.driver")
    return {"version": importlib.import_module("pycuda").VERSION_TEXT}


def _cuda_bindings() -> dict[str, Any]:
    importlib.import_module("cuda.bindings.driver")
    return {"version": importlib.import_module("cuda.bindings").__version__}


def _choose(bundle: str, backend: str, precision: str) -> dict[str, Any]:
    choice = choose(Bundle.open(bundle), backend, precision, None)
    choice.backend.close()
    return {
        "backend": choice.backend.name,
        "precision": choice.precision,
        "variant": choice.variant,
        "reason": choice.reason,
    }


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "onnxruntime": _onnxruntime,
    "tensorrt": _tensorrt,
    "pycuda": _pycuda,
    "cuda.bindings": _cuda_bindings,
    "choose": _choose,
}
