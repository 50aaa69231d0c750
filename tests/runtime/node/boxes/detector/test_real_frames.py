"""A real detector on real pairs of frames, where both lie beside the checkout."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou, nms

from denet.graph import Modality
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.session import Pool
from runtime.node.boxes.detector.finder import DetectorFinder
from runtime.node.boxes.detector.settings import DetectorSettings
from runtime.node.sources import Frame
from runtime.node.sources.folder import read_pixels
from tests.paths import ROOT

SHARED = ROOT.parent / "shared"
MODEL = Path("models", "yolox_nano.onnx")
CROPS = Path("data", "roadscene-crops")

pytestmark = pytest.mark.skipif(
    not ((SHARED / MODEL).exists() and (SHARED / CROPS).exists()),
    reason="needs yolox_nano.onnx and roadscene-crops in a folder beside the checkout",
)


def finder(score: float = 0.3) -> DetectorFinder:
    settings = DetectorSettings(model=str(SHARED / MODEL), score=score, smallest=(0, 0))
    return DetectorFinder(settings, ("rgb", "tir"), None, {}, None)


def pairs() -> dict[str, dict[Modality, Path]]:
    frames = SHARED / CROPS / "frames"
    return {
        path.name: {"rgb": path, "tir": frames / "TI" / path.name}
        for path in sorted((frames / "RGB").iterdir())
    }


def found(detector: DetectorFinder, pair: dict[Modality, Path]) -> torch.Tensor:
    frames = {m: Frame(m, 0.0, read_pixels(path), 0) for m, path in pair.items()}
    boxes = [(d.box.left, d.box.top, d.box.right, d.box.bottom) for d in detector.detect(frames)]
    return torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)


def written_out(session: ort.InferenceSession, path: Path) -> torch.Tensor:
    """Persons as the demonstration of YOLOX finds them, cell by cell, suppressed by torchvision."""
    image = Image.open(path).convert("RGB")
    ratio = min(416 / image.width, 416 / image.height)
    width, height = round(image.width * ratio), round(image.height * ratio)
    canvas = np.full((416, 416, 3), 114, np.float32)
    canvas[:height, :width] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    picture = canvas[:, :, ::-1].transpose(2, 0, 1)[None].copy()
    (output,) = session.run(None, {"images": picture})
    boxes, scores, row = [], [], 0
    for stride in (8, 16, 32):
        for line in range(416 // stride):
            for column in range(416 // stride):
                x, y, w, h, anything, person = (float(v) for v in output[0, row, :6])
                row += 1
                if anything * person < 0.3:
                    continue
                centre = (x + column) * stride, (y + line) * stride
                half = math.exp(w) * stride / 2, math.exp(h) * stride / 2
                across = [(centre[0] + s * half[0]) * image.width / width for s in (-1, 1)]
                down = [(centre[1] + s * half[1]) * image.height / height for s in (-1, 1)]
                across = [min(max(v, 0), image.width) for v in across]
                down = [min(max(v, 0), image.height) for v in down]
                boxes.append((across[0], down[0], across[1], down[1]))
                scores.append(anything * person)
    kept = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    return kept[nms(kept, torch.tensor(scores, dtype=torch.float64), 0.6)]


def test_persons_are_those_of_the_pipeline_written_out() -> None:
    detector = finder()
    options = ort.SessionOptions()
    options.use_per_session_threads = not Pool.shared
    session = ort.InferenceSession(SHARED / MODEL, options, providers=["CPUExecutionProvider"])
    seen = 0
    for pair in pairs().values():
        for m, path in pair.items():
            expected, got = written_out(session, path), found(detector, {m: path})
            assert got.shape == expected.shape
            assert torch.allclose(got, expected, atol=0.05)
            seen += len(got)
    assert seen > 20


def hits(detector: DetectorFinder, modalities: tuple[Modality, ...]) -> int:
    """Persons of `boxes.jsonl` who are found: see `measurements/detection.py`."""
    lines = (SHARED / CROPS / "boxes.jsonl").read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    total = 0
    for name, pair in pairs().items():
        windows = torch.tensor(
            [d["box"] for d in documents if d["frame"] == name], dtype=torch.float64
        ).reshape(-1, 4)
        margin = (windows[:, 2:] - windows[:, :2]) * torch.tensor([1 / 4, 1 / 8])
        people = torch.hstack((windows[:, :2] + margin, windows[:, 2:] - margin))
        boxes = found(detector, {m: pair[m] for m in modalities})
        total += int((box_iou(people, boxes) >= 0.5).any(dim=1).sum()) if len(boxes) else 0
    return total


@pytest.mark.parametrize("score", [0.2, 0.3, 0.5])
def test_both_sensors_find_at_least_whom_each_finds(score: float) -> None:
    detector = finder(score)
    visible, thermal, both = (hits(detector, m) for m in (("rgb",), ("tir",), ("rgb", "tir")))
    assert both >= max(visible, thermal)
    assert both > visible  # by night there is nobody to be seen
