"""Detectors of a node: which frames they look at, and where in the RGB frame their boxes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from denet.graph import Modality
from runtime.node import NodeError
from runtime.node.boxes.box import Box
from runtime.node.boxes.detector.finder import DetectorFinder
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.detector.settings import DetectorSettings
from runtime.node.boxes.finder import Surroundings, open_finder
from runtime.node.boxes.homography import View
from runtime.node.boxes.settings import BoxSettings
from runtime.node.settings import convert
from runtime.node.sources import Frame
from tests.command import denet
from tests.runtime.node.boxes.detector import models
from tests.runtime.node.parts import balanced, config_file, document, events, run, settings

ALL: tuple[Modality, ...] = ("rgb", "nir", "tir")
VIEWS = {
    "rgb": View(size=(96, 64)),
    "tir": View(size=(48, 32), homography=((0.5, 0, 2.0), (0, 0.5, -1.0), (0, 0, 1.0))),
}


def detector(path: Path, *people: models.Person) -> str:
    return str(models.model(path, {"o": models.yolov8(people, 80)}))


def frames(*modalities: Modality) -> dict[Modality, Frame]:
    """Thermal frames are half as large as others."""
    sizes = {"tir": (32, 48)}
    return {m: Frame(m, 1.0, np.zeros(sizes.get(m, (64, 96)), np.uint8), 0) for m in modalities}


def finder(views: Any = None, known: tuple[Modality, ...] = ALL, **more: Any) -> DetectorFinder:
    return DetectorFinder(DetectorSettings(**more), known, views, {}, None)


ANNA = ((10.0, 10.0, 30.0, 50.0), 0.5, 0)
BERT = ((60.0, 12.0, 80.0, 52.0), 0.8, 0)


def test_one_detector_serves_whatever_is_healthy(tmp_path: Path) -> None:
    found = finder(VIEWS, model=detector(tmp_path / "d.onnx", ANNA, BERT))
    in_rgb = [Box(60, 12, 80, 52), Box(10, 10, 30, 50)]
    assert list(found(frames("rgb"), 0)) == pytest.approx(in_rgb)
    # The thermal frame has half the pixels, so the model means others by the same numbers.
    in_tir = [Box((30 - 2) * 2, (6 + 1) * 2, (40 - 2) * 2, (26 + 1) * 2)]
    (bert, anna) = found(frames("tir"), 0)
    assert bert == in_tir[0]
    assert anna == Box(6.0, 12.0, 26.0, 52.0)
    both = found.detect(frames("rgb", "nir", "tir"))
    assert [each.modalities for each in both] == [("rgb", "nir", "tir")] * 2
    assert [each.box for each in both] == in_rgb


def test_heads_share_a_model_that_is_set_alike(tmp_path: Path) -> None:
    path = detector(tmp_path / "d.onnx", ANNA)
    known: dict[bytes, DetectorModel] = {}

    def opened(**more: Any) -> DetectorFinder:
        return DetectorFinder(DetectorSettings(model=path, **more), ALL, None, {}, None, known)

    one, other, third = opened(), opened(), opened(score=0.6)
    assert one._models["rgb"] is other._models["rgb"]
    assert one._models["rgb"] is not third._models["rgb"]
    assert len(known) == 2
    assert one(frames("rgb"), 0) == other(frames("rgb"), 0)
    assert list(third(frames("rgb"), 0)) == []


def test_each_sensor_may_have_a_detector_of_its_own(tmp_path: Path) -> None:
    own = {"tir": {"model": detector(tmp_path / "tir.onnx", BERT), "score": 0.6}}
    wanted = msgspec.convert(
        {"model": detector(tmp_path / "d.onnx", ANNA), "own": own}, DetectorSettings
    )
    found = DetectorFinder(wanted, ALL, None, {}, None)
    same = frames("rgb", "nir")
    assert [d.modalities for d in found.detect(same)] == [("rgb", "nir")]
    large = {"tir": Frame("tir", 1.0, np.zeros((64, 96), np.uint8), 0)}
    both = found.detect(same | large)
    assert [(d.box, d.modalities) for d in both] == [
        (Box(60, 12, 80, 52), ("tir",)),
        (Box(10, 10, 30, 50), ("rgb", "nir")),
    ]
    assert len(found.describe()) == 2
    assert found.describe()[1].endswith("in rgb+nir")


def test_detectors_of_modalities_that_are_not_searched_are_not_run(tmp_path: Path) -> None:
    found = finder(model=detector(tmp_path / "d.onnx", ANNA), modalities=("tir",))
    assert len(found(frames("rgb", "tir"), 0)) == 1
    with pytest.raises(NodeError, match="searches tir, and none of them is healthy"):
        found(frames("rgb"), 0)


def test_in_between_there_are_no_boxes(tmp_path: Path) -> None:
    path = detector(tmp_path / "d.onnx", ANNA)
    found = finder(model=path, interval=3, modalities=("rgb",))
    assert [len(found(frames("rgb"), i)) for i in range(7)] == [1, 0, 0, 1, 0, 0, 1]
    again = finder(model=path, interval=3, modalities=("rgb",))
    # A moment that could not be searched is made good by the next.
    with pytest.raises(NodeError):
        again(frames("tir"), 0)
    assert [len(again(frames("rgb"), i)) for i in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"modalities": ("nir",)}, "boxes.detector.modalities: nir"),
        ({"modalities": ()}, "boxes.detector.modalities: names none"),
        ({"own": {"nir": {"model": "x.onnx"}}}, "boxes.detector.own: nir"),
        ({"own": {"tir": {"model": "x.onnx"}}}, "boxes.detector.own.tir: x.onnx: cannot be read"),
    ],
)
def test_modalities_that_the_node_has_not(more: Any, words: str, tmp_path: Path) -> None:
    path = detector(tmp_path / "d.onnx", ANNA)
    wanted = msgspec.convert({"model": path, **more}, DetectorSettings)
    with pytest.raises(NodeError) as caught:
        DetectorFinder(wanted, ("rgb", "tir"), None, {}, None)
    assert str(caught.value).startswith(words)


def test_the_configuration_opens_it(tmp_path: Path) -> None:
    path = detector(tmp_path / "d.onnx", ANNA)
    boxes = {"detector": {"model": path, "classes": ["person", "car"], "smallest": [5, 10]}}
    wanted = convert(document(tmp_path, tmp_path, boxes=boxes)).boxes
    around = Surroundings(("rgb", "tir"), VIEWS, {}, None)
    found = open_finder(wanted, 0.015, around=around)
    assert isinstance(found, DetectorFinder)
    assert len(found(frames("rgb"), 0)) == 1
    assert open_finder(BoxSettings(), 0.015)(frames("rgb"), 0) == (None,)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ({"detector": {}}, "boxes.detector.model: is missing"),
        ({"detector": {"model": "m", "modle": "m"}}, "'modle' in [boxes.detector]"),
        ({"detector": {"model": "m", "contract": "yolo"}}, "boxes.detector.contract: "),
        ({"detector": {"model": "m", "score": 0}}, "boxes.detector.score: "),
        ({"detector": {"model": "m", "interval": 0}}, "boxes.detector.interval: "),
        ({"detector": {"model": "m", "classes": []}}, "boxes.detector.classes: "),
        ({"detector": {"model": "m", "size": [640]}}, "boxes.detector.size: "),
        ({"detector": {"model": "m", "own": {"tir": {"model": "m", "interval": 2}}}}, "'interval'"),
        ({"detector": {"model": "m"}, "motion": {}}, "detector and motion exclude each other"),
        ({"file": "f", "detector": {"model": "m"}}, "file and detector exclude each other"),
        ({"motion": {"memory": 0}}, "boxes.motion.memory: "),
    ],
)
def test_settings_are_strict(boxes: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        convert(document(tmp_path, tmp_path, boxes=boxes))
    assert words in str(caught.value)


def test_a_check_names_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    path = detector(tmp_path / "d.onnx", ANNA)
    missing = tmp_path / "nowhere"
    for more, words in (
        (f'model = "{missing}"', f"{missing}: cannot be read"),
        (f'model = "{path}"\ncontract = "rt-detr"', "not those of rt-detr"),
        (f'model = "{path}"\nclasses = ["cart"]', "no class 'cart'"),
        (f'model = "{path}"\n[boxes.detector.own.tir]\nmodel = "x"', "boxes.detector.own.tir"),
    ):
        text = f"[boxes.detector]\n{more}\n"
        config = config_file(tmp_path, missing, missing, tmp_path / "e.jsonl", text)
        done = denet("node", "check", config)
        assert done.exit_code == 2
        assert "Traceback" not in done.output
        lines = [line for line in done.stderr.splitlines() if "boxes" in line]
        assert len(lines) == 1
        assert words in lines[0]


def test_a_node_embeds_whom_its_detector_finds(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    """Frames of 64 x 32: one person in each, in all that is healthy."""
    person = ((2.0, 4.0, 30.0, 60.0), 0.9, 0)
    path = models.model(
        tmp_path / "d.onnx",
        {"o": models.suppressed([person], 300)},
        shape=(1, 3, 64, 32),
        metadata={"names": "{0: 'person'}"},
    )
    lines = tmp_path / "e.jsonl"
    boxes = {"detector": {"model": str(path), "interval": 2}}
    more = {"boxes": boxes, "events": {"lines": {"path": str(lines)}}}
    facts, said = run(settings(bundle_path, data / "test", **more))
    balanced(facts)
    assert facts.crops.entered == (facts.triplets.left + 1) // 2
    assert facts.crops.left > 0
    assert not [line for line in said if "no boxes" in line]
    told = [e for e in events(lines) if e["kind"] == "embedding"]
    assert len(told) == facts.crops.left
    assert told[0]["box"] is not None


def test_a_check_says_what_a_detector_was_taken_for(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    text = f'[boxes.detector]\nmodel = "{detector(tmp_path / "d.onnx", ANNA)}"\n'
    config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "e.jsonl", text)
    done = denet("node", "check", config, "--empty")
    assert done.exit_code == 0, done.output
    assert "as yolov8, 96x64, on ort-cpu: person, in rgb+nir+tir" in " ".join(done.stdout.split())
