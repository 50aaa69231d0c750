"""The machine that engines are built for."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import runtime.machine.gpu
from runtime.backends.tensorrt.machine import (
    BuildMachine,
    BuildOptions,
    TensorRTMissingError,
    load_tensorrt,
    this_machine,
    why_foreign,
)
from runtime.machine.gpu import Gpu, find_gpu
from tests.export.tensorrt.parts import A100, DESKTOP, HARDWARE, NO_GPU, VERSIONS, target


@pytest.mark.parametrize(
    ("here", "name"),
    [
        (target(), "orin-cc8.7-16sm-linux-aarch64-tensorrt-10.3.0"),
        (DESKTOP, "nvidia-geforce-rtx-4090-cc8.9-128sm-linux-x86_64-tensorrt-10.3.0"),
        (NO_GPU, "no-gpu-linux-aarch64-tensorrt-10.3.0"),
        (target(gpu="../../etc\\x: (A)"), "etc-x-a-cc8.7-16sm-linux-aarch64-tensorrt-10.3.0"),
    ],
)
def test_a_target_has_a_name_that_is_a_folder(here: BuildMachine, name: str) -> None:
    assert here.name == name


def test_jetsons_of_one_name_have_folders_of_their_own() -> None:
    assert target().name != target(multiprocessors=8).name


class Driver:
    """A CUDA driver with one device."""

    def __init__(self, fails: str = "") -> None:
        self._fails = fails

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 100 * (self._fails == "cuInit")

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return 101 * (self._fails == "cuDeviceGet")

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = b"Orin "
        return 101 * (self._fails == "cuDeviceGetName")

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 7, 16: 16, 18: 1}[which]
        return 0


def test_the_gpu_is_asked_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert find_gpu() == Gpu("Orin", (8, 7), 16, integrated=True)
    assert this_machine(module_with(__version__="10.3.0")).gpu == "Orin"


@pytest.mark.parametrize("fails", ["cuInit", "cuDeviceGet", "cuDeviceGetName"])
def test_a_driver_without_a_device_is_no_gpu(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(fails))
    assert find_gpu() is None


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    here = this_machine(module_with(__version__="10.3.0"))
    assert (here.gpu, here.compute_capability, here.integrated) == (None, None, False)
    assert here.backend == "TensorRT 10.3.0"


def module_with(**names: Any) -> ModuleType:
    module = ModuleType("tensorrt")
    vars(module).update(names)
    return module


def test_what_stands_in_for_tensorrt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.machine.gpu.ctypes, "CDLL", lambda name: Driver("cuInit"))
    module = module_with(__version__="11.4.0", __backend__="TensorRT-RTX 1.7")
    here = this_machine(module)
    assert (here.tensorrt, here.backend) == ("11.4.0", "TensorRT-RTX 1.7")
    assert here.name.startswith("no-gpu-")


@pytest.mark.parametrize(
    ("built", "here", "options", "reason"),
    [
        (target(), target(), {}, None),
        (target(), DESKTOP, {}, "on linux-aarch64, and this is linux-x86_64"),
        (target(), target(multiprocessors=8), {}, "16 multiprocessors.*8 multiprocessors"),
        (target(), NO_GPU, {}, "for Orin .*, and this is no GPU"),
        (NO_GPU, target(), {}, "for no GPU"),
        (
            target(backend="TensorRT 10.3.0"),
            target(backend="TensorRT 10.7.0"),
            {},
            "by TensorRT 10",
        ),
        (target(backend="TensorRT 10.3.0"), target(backend="TensorRT 10.7.0"), VERSIONS, None),
        (target(backend="TensorRT 10.7.0"), target(backend="TensorRT 10.3.0"), VERSIONS, "by"),
        (target(backend="TensorRT 10.3.0"), target(backend="TensorRT 11.4.1"), VERSIONS, None),
        (target(backend="TensorRT 11.4.1"), target(backend="TensorRT 12.0"), VERSIONS, "by"),
        (target(backend="TensorRT 10.3"), target(backend="TensorRT-RTX 10.4"), VERSIONS, "by"),
        (target(backend="TensorRT x"), target(backend="TensorRT y"), VERSIONS, "by"),
        (DESKTOP, A100, {}, "4090.*A100"),
        (DESKTOP, A100, HARDWARE, None),
        (A100, msgspec.structs.replace(A100, compute_capability=(7, 5)), HARDWARE, "A100"),
        (A100, msgspec.structs.replace(A100, integrated=True), HARDWARE, "A100"),
        (NO_GPU, target(), HARDWARE, "for no GPU"),
    ],
)
def test_an_engine_is_loaded_where_it_may_be(
    built: BuildMachine, here: BuildMachine, options: dict[str, bool], reason: str | None
) -> None:
    found = why_foreign(built, BuildOptions(**options), here)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(reason, found), found


def test_a_missing_tensorrt_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(TensorRTMissingError, match=r"JetPack .*pip install tensorrt"):
        load_tensorrt()


@pytest.mark.parametrize(
    "code", ["import tensorrt_libs_absent", "raise OSError('libnvinfer.so.10: no such file')"]
)
def test_a_broken_tensorrt_says_what_is_wrong(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(TensorRTMissingError, match=r"cannot be loaded: .*(absent|libnvinfer)"):
        load_tensorrt()
