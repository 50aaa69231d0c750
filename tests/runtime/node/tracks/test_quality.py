"""What a sighting tells."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from runtime.node.boxes.box import Box
from runtime.node.tracks.path import Path
from runtime.node.tracks.quality import CUT, LEAST, SHARP, quality, sharpness
from tests.paths import SAMPLES
from tests.runtime.node.tracks.parts import standing

SIZE = (64, 128)
PICTURES = [
    np.asarray(Image.open(path).convert("RGB"))
    for folder in ("RGB", "NI", "TI")
    for path in sorted((SAMPLES / folder).iterdir())[:4]
]


@pytest.mark.parametrize("picture", PICTURES)
def test_blur_is_seen_and_brightness_is_not(picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    sharp = [
        sharpness(np.asarray(image.filter(ImageFilter.GaussianBlur(r)) if r else image), SIZE)
        for r in (0, 2, 5)
    ]
    assert sharp[0] > sharp[1] > sharp[2] >= 0
    dim = (picture * 0.3 + 20).astype(np.float32)
    assert sharpness(dim, SIZE) == pytest.approx(sharp[0], rel=0.02)
    assert sharpness(np.full((50, 20), 7, np.uint16), SIZE) == 0.0
    assert sharpness(np.zeros((1, 1, 3), np.uint8), SIZE) == 0.0


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def test_size_border_company_and_score_each_take_away() -> None:
    images = {"rgb": noise(128, 64)}
    whole = Box(100, 100, 164, 228)

    def of(box: Box, others: tuple[Box, ...] = (), score: float = 1.0) -> float:
        return quality(box, images, score, (640, 480), others, SIZE)

    assert sharpness(images["rgb"], SIZE) > SHARP
    assert of(whole) == pytest.approx(1.0)
    assert of(Box(100, 100, 132, 164)) == pytest.approx(0.5)
    assert of(Box(0, 100, 64, 228)) == pytest.approx(CUT)
    assert of(Box(-32, 100, 32, 228)) == pytest.approx(CUT / 2)
    assert of(whole, (Box(132, 100, 200, 228), standing(600))) == pytest.approx(0.5)
    assert of(whole, score=0.4) == pytest.approx(0.4)
    assert of(whole, (whole,)) == LEAST
    assert quality(Box(0, 0, 64, 128), images, 1.0, None, (), SIZE) == pytest.approx(1.0)


def test_a_path_stays_bounded_and_keeps_its_ends() -> None:
    path = Path(10)
    for i in range(1000):
        path.add(0.1 * i, standing(float(i)))
        places = path.places
        assert len(places) <= 10
        assert (places[0][1], places[-1][1]) == (0.0, float(i))
        assert places == sorted(places)
    gone = path.since(50.0)
    assert all(t > 50 for t, *_ in gone)
    assert path.places[-1][0] <= 50
    other = Path(10)
    other.extend(gone)
    assert other.places == gone
