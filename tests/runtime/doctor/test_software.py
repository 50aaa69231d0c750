"""Which packages are installed and work, each asked in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.onnxruntime.smallest import RELU
from runtime.doctor import software
from runtime.doctor.software import Package, inspect_software
from runtime.machine.gpu import find_gpu
from tests.paths import FAKE
from tests.runtime.machine.machines import write


def test_the_smallest_model_is_a_model() -> None:
    model = onnx.load_model_from_string(RELU)
    onnx.checker.check_model(model)
    (y,) = ReferenceEvaluator(model).run(None, {"x": np.array([-2.0], np.float32)})
    assert y == [0.0]
    Pool.ensure(None)
    session = open_session(RELU, CPU, "relu")
    (y,) = session.run(None, {"x": np.array([2.0], np.float32)})
    assert y == [2.0]


def test_what_is_installed_here() -> None:
    found = inspect_software(has_gpu=False)
    assert found.onnxruntime == Package(version=ort.__version__)
    assert list(found.providers) == ort.get_available_providers()
    assert found.providers["CPUExecutionProvider"] is None
    for package in (found.tensorrt, found.pycuda, found.cuda_python):
        assert (package.version is None) == (package.reason is not None)


@pytest.mark.skipif(find_gpu() is not None, reason="for machines without a GPU")
def test_a_provider_that_cannot_start_says_which_library_it_lacks() -> None:
    told = software._ask("onnxruntime", True)
    reasons = {name: told["providers"].pop(name) for name in ort.get_available_providers()}
    assert reasons.pop("CPUExecutionProvider") is None
    for reason in reasons.values():
        assert reason
        assert "\n" not in reason
    if "CUDAExecutionProvider" in reasons:
        assert "EP Error" not in reasons["CUDAExecutionProvider"]


def test_a_tensorrt_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FAKE)
    assert software._ask("tensorrt") == {"version": "10.3.0", "backend": "TensorRT 10.3.0"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "raise ImportError('libnvinfer.so.10: cannot open shared object file\\nmore')",
            {"because": "libnvinfer.so.10: cannot open shared object file"},
        ),
        ("import tensorrt_libs_9", {"because": "No module named 'tensorrt_libs_9'"}),
        ("raise SystemExit", {"because": "it ends its process: exit code 0"}),
        ("import os; os.abort()", {"because": "it crashes (signal 6)"}),
        (
            "import os, sys; sys.stderr.write('CUDA: bad\\n'); sys.stderr.flush(); os._exit(3)",
            {"because": "it ends its process: CUDA: bad"},
        ),
        (
            "import atexit, os; print('hello', end=''); atexit.register(os.abort)\n"
            "__version__, __backend__ = '11.4.0', 'TensorRT-RTX 1.7.1'",
            {"version": "11.4.0", "backend": "TensorRT-RTX 1.7.1"},
        ),
    ],
    ids=["library", "dependency", "exits", "crashes", "dies", "crashes-after-it-answered"],
)
def test_a_tensorrt_that_is_broken(
    source: str, told: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"tensorrt/__init__.py": source})
    monkeypatch.syspath_prepend(tmp_path)
    assert software._ask("tensorrt") == told


def test_a_package_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "PATIENCE", 0.01)
    assert software._ask("tensorrt") == {"because": "no answer in 0 seconds"}


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (["CPUExecutionProvider", "RTX"], None),
        (["CPUExecutionProvider"], "onnxruntime-ep-nv-tensorrt-rtx sees no GPU"),
        (None, "no such library"),
    ],
)
def test_tensorrt_rtx_as_a_plugin(
    devices: list[str] | None, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = SimpleNamespace(get_ep_name=lambda: "RTX", get_library_path=lambda: "rtx.so")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plugin)
    registered: list[tuple[str, str]] = []

    def register(name: str, path: str) -> None:
        registered.append((name, path))
        if devices is None:
            raise RuntimeError("no such library\nand more")

    played = SimpleNamespace(
        register_execution_provider_library=register,
        get_ep_devices=lambda: [SimpleNamespace(ep_name=name) for name in devices or []],
    )
    assert software._rtx_plugin(played) == {"NvTensorRTRTXExecutionProvider": told}
    assert registered == [("RTX", "rtx.so")]


def test_a_folder_in_the_current_directory_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"pycuda/__init__.py": "VERSION_TEXT = '0'", "pycuda/driver.py": ""})
    monkeypatch.chdir(tmp_path)
    assert software._ask("pycuda").get("version") != "0"
