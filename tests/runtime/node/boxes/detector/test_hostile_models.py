"""Files that are no detector are one clear line that names the file, or the setting."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.node import NodeError
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.detector.settings import NetworkSettings
from tests.runtime.node.boxes.detector import models
from tests.runtime.node.boxes.detector.models import CELLS

GOOD = {"output0": models.yolov8([((10.0, 10.0, 30.0, 50.0), 0.9, 0)], 80)}


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(NodeError) as caught:
        DetectorModel(NetworkSettings(model=str(path), **more), None, "boxes.detector")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("boxes.detector: ")
    assert path.name in line
    return line


def text(path: Path) -> Path:
    path.write_text("this is not a model\n")
    return path


def cut(path: Path) -> Path:
    content = models.model(path, GOOD).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def outside(path: Path) -> Path:
    """Weights that are read from a file of the user's choice."""
    models.model(path, GOOD)
    made = onnx.load(path)
    tensor = helper.make_tensor("weights", TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    made.graph.initializer.append(tensor)
    path.write_bytes(made.SerializeToString())
    return path


def compiled(path: Path) -> Path:
    node = helper.make_node("EPContext", ["images"], ["o"], domain="com.microsoft")
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 96))]
    outputs = [helper.make_tensor_value_info("o", TensorProto.FLOAT, (1, 84, CELLS))]
    return models.saved(path, helper.make_graph([node], "d", inputs, outputs))


def unknown_operator(path: Path) -> Path:
    node = helper.make_node("Surprise", ["images"], ["o"], domain="com.example")
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 96))]
    outputs = [helper.make_tensor_value_info("o", TensorProto.FLOAT, (1, 84, CELLS))]
    return models.saved(path, helper.make_graph([node], "d", inputs, outputs))


def failing(path: Path) -> Path:
    """It loads, and fails when it runs."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [7, 11])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["images", "shape"], ["o"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, "h", "w"))]
    outputs = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
    return models.saved(path, helper.make_graph(nodes, "d", inputs, outputs))


def unspeakable(path: Path) -> Path:
    """The name of its input is no UTF-8."""
    content = models.model(path, GOOD).read_bytes()
    path.write_bytes(content.replace(b"images", b"im\xffges"))
    return path


def of(outputs: dict[str, np.ndarray] = GOOD, **more: Any) -> Callable[[Path], Path]:
    return lambda path: models.model(path, outputs, **more)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "No such file"),
        (text, "not an ONNX model"),
        (cut, "not an ONNX model"),
        (folder, "cannot be read"),
        (pipe, "not a regular file"),
        (outside, "takes weights from outside"),
        (compiled, "compiled elsewhere"),
        (unknown_operator, "cannot load"),
        (failing, "the model fails"),
        (unspeakable, "not a detector"),
        (of(shape=(4, 3, 64, 96)), "takes 4 pictures at once"),
        (of(shape=(1, 1, 64, 96)), "has 1 channels"),
        (of(shape=(1, 3, 64)), "not a picture"),
        (of(kind=TensorProto.UINT8), "not a picture"),
        (of(shape=(1, 3, 5000, 96)), "96x5000 is that of no detector"),
        (of(metadata={"task": "segment"}), "made to segment"),
        (of({"o": np.zeros((1, 1000), np.float32)}), "no known detector: o [1, 1000]"),
        (of({"o": np.zeros((1, 84, CELLS + 2), np.float32)}), "no known detector"),
        (of(GOOD | {"masks": np.zeros((1, 32, 16, 16), np.float32)}), "no known detector"),
        (of(models.decoded([])), "orig_target_sizes"),
        (of({"o": models.yolov8([], 3)}), "its 3 classes have no names"),
        (of({"o": models.yolov8([], 2)}, metadata={"names": "['dog', 'cat']"}), "are dog, cat"),
    ],
)
def test_a_file_that_is_no_detector(
    make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    assert words in refusal(make(tmp_path / "detector.onnx"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"contract": "yolox"}, "not those of yolox, but output0 [1, 84, 126]"),
        ({"classes": ("persn",)}, "has no class 'persn': its classes are person, bicycle"),
        ({"classes": (80,)}, "has no class 80: it has 80"),
        ({"labels": ("person", "car")}, "2 names for its 80 classes"),
        ({"size": (640, 640)}, "size: its input is 96x64"),
    ],
)
def test_a_setting_that_does_not_fit_the_model(
    more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in refusal(models.model(tmp_path / "detector.onnx", GOOD), **more)


def test_cuda_that_is_not_there_is_refused(tmp_path: Path) -> None:
    from runtime.backends.choose import nvidia_gpu_present

    if nvidia_gpu_present():
        pytest.skip("there is a GPU")
    assert "ort-cuda" in refusal(models.model(tmp_path / "d.onnx", GOOD), backend="ort-cuda")


@settings(max_examples=150, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), names=st.text(max_size=30))
def test_a_damaged_model_is_refused_or_finds_boxes(
    at: float, bit: int, names: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("d") / "d.onnx"
    small = {"o": models.suppressed([((10.0, 10.0, 30.0, 50.0), 0.9, 0)], 4)}
    content = bytearray(models.model(path, small, metadata={"names": names}).read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        detector = DetectorModel(NetworkSettings(model=str(path)), None, "boxes.detector")
        found = detector.find(np.zeros((100, 100), np.uint8), "tir", (0, 65535))
    except NodeError:
        return
    for each in found:
        box = each.box
        assert 0 <= box.left < box.right <= 100
        assert 0 <= box.top < box.bottom <= 100
