"""A detector's engine on the driver that runs on the host, against ONNX Runtime on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import astuple

from denet.pixels import FULL
from export.tensorrt.detector import build_detector
from runtime import Bundle
from runtime.backends.tensorrt.files import facts_path
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.node import NodeError
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.detector.settings import NetworkSettings
from tests.conftest import copied
from tests.fake.libcuda.driver import HostDriver
from tests.runtime.node.boxes.detector.models import looking

pytestmark = pytest.mark.cuda

OPTIONS = BuildOptions()


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return looking(tmp_path / "looking.onnx")


@pytest.fixture
def home(driver: HostDriver, bundle_path: Path, onnx: Path, tmp_path: Path) -> EngineHome:
    root = copied(bundle_path, tmp_path)
    made = build_detector(Bundle.open(root), onnx, None, OPTIONS)
    assert made.built
    assert made.engine.facts.cosine == pytest.approx(1)
    return EngineHome(root)


def detector(onnx: Path, backend: str, home: EngineHome | None = None) -> DetectorModel:
    settings = NetworkSettings(
        model=str(onnx), backend=backend, labels=tuple("abcd"), classes=tuple("abcd"), score=0.2
    )
    return DetectorModel(settings, None, "boxes.detector", home)


def frame(seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    blocks = chance.integers(0, 256, (8, 12, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def found(model: DetectorModel, seed: int) -> list[Detection]:
    return model.find(frame(seed), "rgb", FULL)


def same(mine: list[Detection], others: list[Detection]) -> None:
    assert len(mine) == len(others) > 3
    for a, b in zip(mine, others, strict=True):
        assert astuple(a.box) == pytest.approx(astuple(b.box), abs=1e-3)
        assert (a.score, a.label) == (pytest.approx(b.score, abs=1e-5), b.label)


@pytest.mark.parametrize("backend", ["tensorrt", "auto"])
def test_it_finds_what_the_cpu_finds(
    backend: str, driver: HostDriver, home: EngineHome, onnx: Path
) -> None:
    mine, reference = detector(onnx, backend, home), detector(onnx, "ort-cpu")
    assert "on tensorrt" in mine.describe()
    launched = driver.calls().get("cuGraphLaunch", 0)
    for seed in range(12):  # captured, replayed; at the start a blank picture was queued
        driver.delays(seed, 100)
        same(found(mine, seed), found(reference, seed))
    assert driver.calls()["cuGraphLaunch"] - launched == 11


def test_heads_that_share_it_take_turns(driver: HostDriver, home: EngineHome, onnx: Path) -> None:
    mine, reference = detector(onnx, "tensorrt", home), detector(onnx, "ort-cpu")
    expected = [found(reference, seed) for seed in range(4)]
    failed: list[BaseException] = []
    driver.delays(5, 100)

    def look(seed: int) -> None:
        try:
            for _ in range(8):
                same(found(mine, seed), expected[seed])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_device_that_is_lost_costs_a_moment(
    driver: HostDriver, home: EngineHome, onnx: Path
) -> None:
    mine, reference = detector(onnx, "tensorrt", home), detector(onnx, "ort-cpu")
    same(found(mine, 1), found(reference, 1))
    driver.fail("work", 1, 719)  # CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(NodeError, match=r"looking\.onnx: the model fails: .*is lost"):
        found(mine, 2)
    same(found(mine, 2), found(reference, 2))


def test_an_engine_of_others_or_of_another_file_is_not_taken(
    home: EngineHome, onnx: Path, tmp_path: Path
) -> None:
    (path,) = home.bundle.rglob("detector-*.engine")
    facts = facts_path(path)
    facts.write_bytes(facts.read_bytes().replace(b'"code": "', b'"code": "0'))
    with pytest.raises(NodeError, match=r"not built on this machine.*denet build .* --detector"):
        detector(onnx, "tensorrt", home)
    assert "on ort-" in (told := detector(onnx, "auto", home).describe())
    assert "not built on this machine" in told

    other = looking(tmp_path / "other.onnx", seed=1)
    with pytest.raises(NodeError, match="not built for this machine"):
        detector(other, "tensorrt", home)
    path.write_bytes(b"0")
    with pytest.raises(NodeError, match="damaged"):
        detector(onnx, "tensorrt", home)


def test_what_was_built_is_built_once(home: EngineHome, onnx: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(home.bundle)
    assert not build_detector(bundle, onnx, None, OPTIONS).built
    open_size = looking(tmp_path / "open.onnx", open_size=True)
    for size in ((96, 64), (64, 96)):
        made = build_detector(bundle, open_size, size, OPTIONS)
        assert made.built
        assert made.engine.path.stem.endswith(f"-{size[0]}x{size[1]}")
