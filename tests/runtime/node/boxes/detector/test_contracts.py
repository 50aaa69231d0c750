"""Every contract: persons written into a network's outputs as its family has them are found, in
pixels of the frame, and each family is known by its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from runtime.node import NodeError
from runtime.node.boxes.box import Box
from runtime.node.boxes.detector import network
from runtime.node.boxes.detector.contracts import CONTRACTS
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.detector.settings import NetworkSettings
from tests.runtime.node.boxes.detector import models
from tests.runtime.node.boxes.detector.models import CELLS, SIZE, Person

FRAME = (240, 120)
"""(width, height): 2.5 times the inner 96 x 48 of a letterbox."""

IN_FRAME = ((30.0, 20.0, 70.0, 110.0), (120.0, 10.0, 160.0, 100.0), (180.0, 40.0, 210.0, 115.0))
SCORES = (0.8, 0.6, 0.45)
FOUND = list(zip(IN_FRAME, SCORES, strict=True))

Outputs = Mapping[str, NDArray[Any]]


def persons(fit: str, number: int) -> list[Person]:
    """The three of `IN_FRAME` in pixels of the input, and somebody who is no person."""
    zoom = {"stretch": (0.4, 64 / 120)}.get(fit, (0.4, 0.4))
    down = 8.0 if fit == "centre" else 0.0
    placed = []
    for left, top, right, bottom in IN_FRAME:
        x, y = zoom
        placed.append((left * x, top * y + down, right * x, bottom * y + down))
    several = [(box, s, number) for box, s in zip(placed, SCORES, strict=True)]
    return [*several, ((60.0, 20.0, 75.0, 40.0), 0.95, number + 2)]


FAMILIES: dict[str, Callable[[], Outputs]] = {
    "yolox": lambda: {"output": models.yolox(persons("corner", 0), 80, (8, 16, 8, 32))},
    "yolox-decoded": lambda: {
        "output": models.rows_with_objectness(persons("corner", 0), 80, CELLS)
    },
    "yolov5": lambda: {"output0": models.rows_with_objectness(persons("centre", 0), 80, 3 * CELLS)},
    "yolov8": lambda: {"output0": models.yolov8(persons("centre", 0), 80)},
    "yolo-nms": lambda: {"output0": models.suppressed(persons("centre", 0))},
    "rt-detr": lambda: models.decoded(persons("stretch", 0)),
    "rf-detr": lambda: models.logits(persons("stretch", 1), 91, ("dets", "labels")),
    "transformers": lambda: models.logits(persons("stretch", 0), 80, ("pred_boxes", "logits")),
}


def made(path: Path, name: str, **more: Any) -> Path:
    return models.model(path / "d.onnx", FAMILIES[name](), frame_size=name == "rt-detr", **more)


def opened(path: Path, **more: Any) -> DetectorModel:
    return DetectorModel(NetworkSettings(model=str(path), **more), None, "boxes.detector")


def found(detector: DetectorModel) -> list[tuple[tuple[float, ...], float]]:
    width, height = FRAME
    frame = np.zeros((height, width, 3), np.uint8)
    detections = detector.find(frame, "rgb", (0, 65535))
    return [
        ((d.box.left, d.box.top, d.box.right, d.box.bottom), d.score)
        for d in detections
        if d.label == "person"
    ]


def test_every_contract_is_tried() -> None:
    assert FAMILIES.keys() == CONTRACTS.keys()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("named", [False, True])
def test_persons_of_each_family_are_found(name: str, named: bool, tmp_path: Path) -> None:
    contract: Any = name if named else "auto"
    detector = opened(made(tmp_path, name), contract=contract)
    assert f" as {name}, 96x64, on ort-cpu: person" in detector.describe()
    seen = found(detector)
    assert len(seen) == 3
    for (box, score), (expected, high) in zip(seen, FOUND, strict=True):
        assert box == pytest.approx(expected, abs=0.01)
        assert score == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_other_classes_are_found_when_they_are_wanted(name: str, tmp_path: Path) -> None:
    wanted = ("car",)  # two after a person, in every way that COCO is numbered
    detector = opened(made(tmp_path, name), classes=wanted)
    width, height = FRAME
    (car,) = detector.find(np.zeros((height, width), np.uint8), "tir", (0, 65535))
    assert (car.label, car.modalities) == ("car", ("tir",))
    assert car.score == pytest.approx(0.95, abs=1e-4)
    both = opened(made(tmp_path, name), classes=("car", "person"))
    assert len(both.find(np.zeros((height, width), np.uint8), "tir", (0, 65535))) == 4


@pytest.mark.parametrize("name", FAMILIES)
def test_the_score_and_the_size_that_are_demanded(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, name)
    assert [s for _, s in found(opened(path, score=0.5))] == pytest.approx([0.8, 0.6], abs=1e-4)
    assert len(found(opened(path, smallest=(35, 16)))) == 2
    assert len(found(opened(path, smallest=(8, 85)))) == 2


def test_repeats_are_suppressed_where_the_network_has_not(tmp_path: Path) -> None:
    left, top, right, bottom = 10.0, 10.0, 30.0, 50.0
    several: list[Person] = [
        ((left, top, right, bottom), 0.9, 0),
        ((left + 2, top, right + 2, bottom), 0.8, 0),  # overlaps by 18 / 22
        ((left + 8, top, right + 8, bottom), 0.7, 0),  # by 12 / 28
        ((left + 2, top, right + 2, bottom), 0.6, 2),
    ]
    dense = models.model(tmp_path / "d.onnx", {"o": models.yolov8(several, 80)})
    assert [s for _, s in found(opened(dense))] == pytest.approx([0.9, 0.7])
    assert len(found(opened(dense, overlap=0.85))) == 3
    assert len(found(opened(dense, overlap=0.4))) == 1
    assert len(found(opened(dense, classes=("person", "car")))) == 2
    done = models.model(tmp_path / "n.onnx", {"o": models.suppressed(several)})
    assert len(found(opened(done))) == 3
    assert len(found(opened(done, overlap=0.6))) == 2


def test_names_of_classes_in_the_model(tmp_path: Path) -> None:
    outputs = {"o": models.yolov8([((10.0, 10.0, 30.0, 50.0), 0.9, 1)], 2)}
    names = {"names": "{0: 'dog', 1: 'person'}", "task": "detect"}
    path = models.model(tmp_path / "d.onnx", outputs, metadata=names)
    assert len(found(opened(path))) == 1
    assert len(found(opened(path, labels=("person", "dog")))) == 0
    assert len(found(opened(path, labels=("a", "person"), classes=(1,)))) == 1


def test_boxes_are_cut_to_the_frame_and_what_is_no_box_is_none(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    rows: list[Person] = [
        ((-50.0, -60.0, 20.0, 200.0), 0.9, 0),
        ((nan, 10.0, 30.0, 50.0), 0.9, 0),
        ((10.0, 10.0, inf, 50.0), 0.9, 0),
        ((10.0, 10.0, 30.0, 50.0), nan, 0),
        ((30.0, 10.0, 10.0, 50.0), 0.9, 0),
        ((-90.0, 10.0, -10.0, 50.0), 0.9, 0),
    ]
    path = models.model(tmp_path / "d.onnx", {"o": models.suppressed(rows)})
    ((box, _),) = found(opened(path))
    assert box == (0.0, 0.0, 50.0, 120.0)


def test_a_model_that_finds_somebody_everywhere_does_not_stop_a_node(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    corners = chance.uniform(0, 50, (5000, 2))
    rows = np.hstack(
        (corners, corners + 30, chance.uniform(0.5, 1, (5000, 1)), np.zeros((5000, 1)))
    )
    count = 3 * CELLS
    dense = np.ones((1, count, 6), np.float32)
    dense[0, :, :4] = rows[:count, :4]
    path = models.model(tmp_path / "d.onnx", {"o": dense})
    assert 0 < len(found(opened(path, labels=("person",), contract="yolov5"))) <= 1000


def test_half_precision_and_open_sizes(tmp_path: Path) -> None:
    output = {"o": models.yolov8(persons("centre", 0), 80)}
    half = models.model(tmp_path / "h.onnx", output, kind=TensorProto.FLOAT16)
    assert len(found(opened(half))) == 3
    shape = ("batch", 3, "height", "width")
    anything = models.model(tmp_path / "d.onnx", output, shape=shape)
    assert len(found(opened(anything, size=SIZE))) == 3
    with pytest.raises(NodeError, match="for an input of 640x640"):
        opened(anything)


def test_the_pixels_reach_the_network(tmp_path: Path) -> None:
    """The score is the mean of the red channel as a family of Ultralytics wants it, 0 to 1."""
    name, value = helper.make_node, helper.make_tensor_value_info
    constants = {"starts": [0], "ends": [1], "axes": [1]}
    nodes = [
        name("Constant", [], [k], value=helper.make_tensor(k, TensorProto.INT64, [1], v))
        for k, v in constants.items()
    ]
    for key, row in (("box", [20.0, 10.0, 60.0, 50.0]), ("label", [0.0])):
        tensor = helper.make_tensor(key, TensorProto.FLOAT, [1, 1, len(row)], row)
        nodes.append(name("Constant", [], [key], value=tensor))
    nodes += [
        name("Slice", ["images", "starts", "ends", "axes"], ["red"]),
        name("GlobalAveragePool", ["red"], ["mean"]),
        name("Squeeze", ["mean", "axes"], ["score"]),
        name("Concat", ["box", "score", "label"], ["found"], axis=2),
    ]
    inputs = [value("images", TensorProto.FLOAT, (1, 3, 64, 96))]
    outputs = [value("found", TensorProto.FLOAT, (1, 1, 6))]
    path = models.saved(tmp_path / "d.onnx", helper.make_graph(nodes, "d", inputs, outputs))
    frame = np.zeros((128, 192, 3), np.uint8)
    frame[:, :, 0] = 204
    detector = opened(path)
    (red,) = detector.find(frame, "rgb", (0, 65535))
    assert red.box == Box(40.0, 20.0, 120.0, 100.0)
    assert red.score == pytest.approx(0.8, abs=1e-4)
    assert detector.find(frame[:, :, ::-1], "rgb", (0, 65535)) == []
    warm = np.full((128, 192), 8600, np.uint16)
    (thermal,) = detector.find(warm, "tir", (7000, 9000))
    assert thermal.score == pytest.approx(0.8, abs=1e-4)


def test_auto_says_why_it_is_not_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if network.nvidia_gpu_present():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(network, "nvidia_gpu_present", lambda: True)
    said = opened(made(tmp_path, "yolox")).describe()
    assert "on ort-cpu (not ort-cuda: " in said
    assert len(found(opened(made(tmp_path, "yolox")))) == 3
