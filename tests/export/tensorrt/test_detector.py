"""`denet build --detector`: engines of a node's detectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.tensorrt.detector import _cosine, build_detector
from runtime import Bundle
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.node import NodeError
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.detector.settings import LARGEST, SMALLEST, NetworkSettings
from tests.command import denet, refused
from tests.export.tensorrt.parts import NO_GPU, Builder, leftovers
from tests.runtime.node.boxes.detector import models


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return models.looking(tmp_path / "looking.onnx")


@pytest.fixture
def jetson(
    builder: Builder, machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Builder:
    machine(NO_GPU)
    return builder


def test_it_is_built_beside_the_engines_and_once(root: Path, onnx: Path, jetson: Builder) -> None:
    result = denet("build", root, "--detector", onnx)
    assert result.exit_code == 0, result.output
    assert "looking.onnx" in result.output
    assert "16 engines, 16 of them built now" in result.output
    (engine,) = root.rglob("detector-*-96x64.engine")
    assert (engine.parent / "branch_rgb.engine").exists()
    facts = json.loads(engine.with_suffix(".json").read_text())["spec"]
    assert facts["profile"] == {"images": [[1, 3, 64, 96]] * 3}
    assert facts["options"]["batch"] == [1, 1, 1]
    again = json.loads(denet("build", root, "--detector", onnx, "--json").stdout)
    assert [e["built"] for e in again["detectors"].values()] == [False]
    assert list(again["detectors"]) == [str(onnx)]


def test_several_and_such_as_leave_their_size_open(
    root: Path, onnx: Path, jetson: Builder, tmp_path: Path
) -> None:
    open_size = models.looking(tmp_path / "open.onnx", open_size=True)
    both = ("--detector", onnx, "--detector", open_size)
    result = denet("build", root, *both[2:], "--detector-size", "128x32")
    assert "16 of them built now" in result.output
    assert "16 of them built now" not in denet("build", root, *both).output
    names = {path.stem.rpartition("-")[2] for path in root.rglob("detector-*.engine")}
    assert names == {"96x64", "128x32", "640x640"}


@pytest.mark.parametrize("size", ["96", "96x", "axb", "0x64", "8x8", "96x9999", "-96x64", "٩٦x64"])
def test_a_size_that_is_none_is_refused(size: str, root: Path, onnx: Path) -> None:
    result = denet("build", root, "--detector", onnx, f"--detector-size={size}")
    refused(result, "WIDTHxHEIGHT")


def test_a_size_without_a_detector_is_refused(root: Path) -> None:
    refused(denet("build", root, "--detector-size", "96x64"), "needs --detector")


def test_what_is_no_detector_is_refused_before_anything_is_built(
    root: Path, jetson: Builder, tmp_path: Path
) -> None:
    absent = tmp_path / "absent.onnx"
    refused(denet("build", root, "--detector", absent), "absent.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    refused(denet("build", root, "--detector", tmp_path / "text.onnx"), "text.onnx")
    other = models.model(tmp_path / "other.onnx", {"o": np.zeros((1, 5), np.float32)})
    refused(denet("build", root, "--detector", other), "known detector")
    whole = models.decoded([((10.0, 10.0, 30.0, 50.0), 0.5, 0)])
    detr = models.model(tmp_path / "detr.onnx", whole, frame_size=True)
    told = "labels of int64, a second input, orig_target_sizes"
    refused(denet("build", root, "--detector", detr), told, "ONNX Runtime")
    assert not list(root.rglob("*.engine"))
    assert not leftovers(root)


def test_a_stale_one_is_not_replaced_where_that_is_forbidden(
    root: Path, onnx: Path, jetson: Builder
) -> None:
    denet("build", root, "--detector", onnx)
    (engine,) = root.rglob("detector-*.engine")
    engine.write_bytes(b"0")
    refused(denet("build", root, "--detector", onnx, "--no-rebuild"), "--no-rebuild")
    assert engine.read_bytes() == b"0"
    assert "1 of them built now" in denet("build", root, "--detector", onnx).output


def test_a_node_that_wants_one_says_what_is_missing(root: Path, onnx: Path) -> None:
    wanted = NetworkSettings(
        model=str(onnx), backend="tensorrt", labels=tuple("abcd"), classes=(0,)
    )
    with pytest.raises(NodeError, match=r"boxes\.detector: .*lies beside a bundle: give model\.b"):
        DetectorModel(wanted, None, "boxes.detector")
    with pytest.raises(NodeError, match=r"looking\.onnx: .*TensorRT|denet build .* --detector"):
        DetectorModel(wanted, None, "boxes.detector", EngineHome(root))


def test_numbers_are_compared_by_place_unless_the_network_chooses() -> None:
    chance = np.random.default_rng(0)
    wanted = {"a": chance.random((1, 6, 50), np.float32), "b": np.zeros(3, np.float32)}
    other = {"a": wanted["a"][..., ::-1].copy(), "b": wanted["b"]}
    assert _cosine(wanted, wanted, ordered=True) == pytest.approx(1)
    assert _cosine(wanted, other, ordered=True) < 0.9
    assert _cosine(wanted, other, ordered=False) == pytest.approx(1)
    assert np.isnan(_cosine(wanted, {**wanted, "b": np.ones(3, np.float32)}, ordered=True))
    assert np.isnan(_cosine(wanted, {**wanted, "a": wanted["a"] * np.nan}, ordered=True))


@pytest.mark.tensorrt
def test_nvidias_compiler_takes_it(root: Path, onnx: Path, tmp_path: Path) -> None:
    options = BuildOptions()
    open_size = models.looking(tmp_path / "open.onnx", open_size=True)
    for path, size in ((onnx, None), (open_size, (128, 64))):
        made = build_detector(Bundle.open(root), path, size, options)
        assert b"trt" in made.engine.read()[:4]
        assert made.engine.facts.layers.fp32 == 3


def test_sides_are_those_that_a_node_allows() -> None:
    for side in (SMALLEST, LARGEST):
        assert NetworkSettings(model="m", size=(side, side)).size == (side, side)
