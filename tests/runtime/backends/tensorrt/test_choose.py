"""When a bundle runs in TensorRT, and what is said where it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

import runtime.backends.tensorrt.machine
from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Runtime
from runtime.backends.tensorrt.files import engine_path
from runtime.backends.tensorrt.machine import BuildOptions
from tests.runtime.backends.tensorrt.machines import (
    HERE,
    MIXED,
    Machine,
    inputs,
    same,
    write_engines,
)

ENGINES = RGB_NIR_TIR.engines


choosing = sys.modules["runtime.backends.choose"]
"""The module, whose name in its package is that of its function."""


@pytest.fixture
def gpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """This machine has the GPU that the engines were built for."""
    monkeypatch.setattr(choosing, "nvidia_gpu_present", lambda: True)
    monkeypatch.setattr(choosing, "open_gpu", lambda context: machine.open())
    monkeypatch.setattr(runtime.backends.tensorrt.machine, "load_tensorrt", lambda: None)
    monkeypatch.setattr(runtime.backends.tensorrt.machine, "this_machine", lambda _: HERE)
    return machine


def test_auto_takes_tensorrt_where_the_engines_are_built(
    gpu: Machine, root: Path, runtime: Runtime
) -> None:
    with Runtime.load(root, check=True) as loaded:
        assert (loaded.backend, loaded.variant) == ("tensorrt", "fp32")
        assert "an NVIDIA GPU was found" in loaded.reason
        samples = inputs(MIXED)
        same(loaded.composer.run_tensors(samples), runtime, samples)
    assert not gpu.device.complaints


def test_a_runtime_cuts_batches_to_what_the_engines_take(gpu: Machine, root: Path) -> None:
    write_engines(gpu.bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions(batch=(1, 1, 3)))
    with Runtime.load(root, "tensorrt") as loaded:
        assert loaded.max_batch == 3
        image = np.zeros((64, 32, 3), np.uint8)
        assert loaded.embed_batch([{"rgb": image}] * 7).shape == (7, loaded.dim)
    with Runtime.load(root, "tensorrt", max_batch=2) as loaded:
        assert loaded.max_batch == 2


def test_auto_goes_on_to_what_can_run_and_says_why(gpu: Machine, root: Path) -> None:
    engine_path(root, HERE, "fp32", "dem_tir2nir").unlink()
    with Runtime.load(root) as loaded:
        assert loaded.backend == "ort-cpu"
        assert "dem_tir2nir" in loaded.reason
        assert "denet build" in loaded.reason
        assert "not ort-cuda" in loaded.reason
    with pytest.raises(BackendError, match=r"dem_tir2nir: .*not built.*denet build"):
        Runtime.load(root, "tensorrt")


def test_stale_engines_are_refused_with_the_reason(
    gpu: Machine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = msgspec.structs.replace(HERE, tensorrt="10.7.0", backend="TensorRT 10.7.0")
    monkeypatch.setattr(runtime.backends.tensorrt.machine, "this_machine", lambda _: later)
    with pytest.raises(BackendError, match=r"branch_rgb: .*15 such engines.*denet build"):
        Runtime.load(root, "tensorrt")


def test_a_bundle_without_engines_needs_no_tensorrt_to_say_so(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=r"no TensorRT engine was built.*denet build"):
        Runtime.load(bundle_path, "tensorrt")


def test_a_precision_that_is_not_built_is_not_replaced(gpu: Machine, root: Path) -> None:
    with pytest.raises(BackendError, match="'int8'"):
        Runtime.load(root, "tensorrt", "int8")
