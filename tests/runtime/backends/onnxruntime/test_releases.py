"""A release of ONNX Runtime that is too old for INT8 says so, and runs the rest."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from runtime.backends import BackendError
from runtime.backends.onnxruntime import backend as module
from runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.releases import why_no_int8, wrong_optimizers
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form
from runtime.doctor import diagnosis


@pytest.mark.parametrize(
    ("version", "machine", "oldest"),
    [
        ("1.21.1", "x86_64", "1.22"),
        ("1.20.1+jp6", "AMD64", "1.22"),
        ("1.22.1", "aarch64", "1.23"),
        ("1.22.0", "arm64", "1.23"),
        ("1.22.0", "x86_64", None),
        ("1.23.0.dev20251031003", "aarch64", None),
        ("1.100.0", "aarch64", None),
        ("2.0.0", "x86_64", None),
        ("a fork of somebody", "x86_64", None),
    ],
)
def test_the_oldest_release_depends_on_the_processor(
    version: str, machine: str, oldest: str | None
) -> None:
    reason = why_no_int8(version, machine)
    if oldest is None:
        assert reason is None
    else:
        assert reason is not None
        assert version in reason
        assert f"install {oldest} or later" in reason


@pytest.mark.parametrize("form", ["int8-vnni", "int8-avx2"])
def test_the_backend_refuses_int8_with_one_line(
    monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    monkeypatch.setattr(module.ort, "__version__", "1.20.2")
    forms: dict[str, Form] = {"trunk_rgb": "fp32", "edge": form}
    with pytest.raises(BackendError, match=r"ort-cpu: ONNX Runtime 1\.20\.2 cannot run INT8"):
        OnnxRuntimeBackend(cast(Bundle, None), forms, CPU, threads=None, max_batch=1)


def test_the_backend_runs_other_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ort, "__version__", "1.20.2")
    forms: dict[str, Form] = {"trunk_rgb": "fp32", "edge": "fp16"}
    unread: Any = None
    OnnxRuntimeBackend(unread, forms, CPU, threads=None, max_batch=1).close()


def test_the_doctor_says_so_of_each_variant() -> None:
    reason = why_no_int8("1.20.0", "x86_64")
    assert reason is not None
    for name in ("int8-avx2", "mixed-avx2"):
        assert diagnosis._why_not_here(name, {}, reason) == reason
    for name in ("fp32", "fp16"):
        assert diagnosis._why_not_here(name, {}, reason) is None
    assert diagnosis._why_not_here("int8-trt", {"tensorrt": None}, reason) is None


def test_padding_before_an_average_counts_in_every_release() -> None:
    """What ONNX Runtime computes here, against numbers worked out by hand."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("AveragePool", ["padded"], ["y"], kernel_shape=[2, 2], ceil_mode=1),
    ]
    pads = helper.make_tensor("pads", onnx.TensorProto.INT64, [8], [0, 0, 0, 0, 0, 0, 1, 1])
    tensors = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 2, 2]) for name in "xy"
    ]
    graph = helper.make_graph(nodes, "padded", tensors[:1], tensors[1:], [pads])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    Pool.ensure(None)
    session = open_session(model.SerializeToString(), CPU, "padded")
    x = np.array([[[[4.0, 8.0], [12.0, 16.0]]]], np.float32)
    assert session.run(None, {"x": x})[0].tolist() == [[[[10.0, 6.0], [7.0, 4.0]]]]


def test_only_releases_with_the_defect_lose_an_optimizer() -> None:
    assert wrong_optimizers("1.24.4") == wrong_optimizers("1.22.0") == ("Pad_Fusion",)
    assert wrong_optimizers("1.25.0") == wrong_optimizers("1.31.1") == ()
