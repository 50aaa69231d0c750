"""Which backend runs a bundle, and what it says of the choice."""

from __future__ import annotations

import sys

import pytest

from runtime import BackendError, Bundle, Runtime
from runtime.backends.choose import nvidia_gpu_present
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.memory import HostMemory

CHOOSE = sys.modules["runtime.backends.choose"]  # the package's `choose` is the function


no_gpu = pytest.mark.skipif(nvidia_gpu_present(), reason="this machine has an NVIDIA GPU")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tpu",), ["'tpu'", "ort-cpu", "auto"]),
        (("ort-cpu", "fp16"), ["'fp16'", "fp32"]),
        (("ort-cpu", "int4"), ["'int4'", "fp32"]),
        (("auto", "int8"), ["'int8'", "fp32"]),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_choices(
    bundle: Bundle, arguments: tuple[str, ...], words: list[str]
) -> None:
    with pytest.raises(BackendError) as refusal:
        Runtime.load(bundle, *arguments)
    for word in words:
        assert word in str(refusal.value)


@no_gpu
def test_a_gpu_asked_for_by_name_is_never_replaced_by_the_cpu(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="CUDA"):
        Runtime.load(bundle, "ort-cuda")


def test_another_number_of_threads_is_refused(fresh: Runtime, bundle: Bundle) -> None:
    with pytest.raises(BackendError) as refusal:
        Runtime.load(bundle, "ort-cpu", threads=97)
    assert "97" in str(refusal.value)
    assert "first runtime" in str(refusal.value)


def test_a_choice_by_name_says_so(runtime: Runtime) -> None:
    assert (runtime.backend, runtime.precision) == ("ort-cpu", "fp32")
    assert "by name" in runtime.reason


def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_why(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHOOSE, "nvidia_gpu_present", lambda: False)
    with Runtime.load(bundle) as chosen:
        assert (chosen.backend, chosen.precision) == ("ort-cpu", "fp32")
        assert "no NVIDIA GPU" in chosen.reason


@no_gpu
def test_auto_says_why_a_gpu_that_was_found_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHOOSE, "nvidia_gpu_present", lambda: True)
    with Runtime.load(bundle) as chosen:
        assert chosen.backend == "ort-cpu"
        assert "not tensorrt: " in chosen.reason
        assert "not ort-cuda: the CUDA driver cannot be loaded" in chosen.reason


@no_gpu
@pytest.mark.skipif(
    "CUDAExecutionProvider" not in ort.get_available_providers(), reason="ONNX Runtime has no CUDA"
)
def test_auto_takes_the_cpu_where_a_driver_is_there_but_cuda_cannot_start(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the driver is installed, and CUDA's libraries are not."""
    monkeypatch.setattr(CHOOSE, "nvidia_gpu_present", lambda: True)
    monkeypatch.setattr("runtime.backends.onnxruntime.backend.CudaMemory", HostMemory)
    with Runtime.load(bundle) as chosen:
        assert chosen.backend == "ort-cpu"
        assert "not ort-cuda: ort-cuda: " in chosen.reason
        chosen.check()
    with pytest.raises(BackendError, match="ort-cuda"):
        Runtime.load(bundle, "ort-cuda")
