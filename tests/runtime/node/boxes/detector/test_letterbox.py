"""Frames as the input of a network: against torchvision, and against places found in the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional

from runtime.node.boxes.detector.contracts import CONTRACTS, IMAGENET, STRETCHED, ULTRALYTICS, YOLOX
from runtime.node.boxes.detector.letterbox import PictureForm, letterbox, place

FORMS = {"yolox": YOLOX, "ultralytics": ULTRALYTICS, "stretched": STRETCHED, "imagenet": IMAGENET}


def noise(width: int, height: int) -> np.ndarray:
    chance = np.random.default_rng(width * height)
    coarse = Image.fromarray(chance.integers(0, 256, (5, 7, 3), np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("frame", [(200, 100), (60, 150), (96, 64), (37, 20)])
def test_the_picture_is_torchvisions(name: str, frame: tuple[int, int]) -> None:
    """Sizes are written out here as YOLOX and Ultralytics have them."""
    form, (width, height) = FORMS[name], (96, 64)
    image = noise(*frame)
    zoom = min(width / frame[0], height / frame[1])
    inner = (round(frame[0] * zoom), round(frame[1] * zoom))
    if name in ("stretched", "imagenet"):
        inner = (width, height)
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    small = functional.resize(tensor, [inner[1], inner[0]], antialias=True).float()
    x, y = width - inner[0], height - inner[1]
    before = (x // 2, y // 2) if name == "ultralytics" else (0, 0)
    padding = [*before, x - before[0], y - before[1]]
    expected = functional.pad(small, padding, fill=114.0)
    expected = expected.flip(0) if name == "yolox" else expected / 255
    if name == "imagenet":
        expected = functional.normalize(expected, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    picture, _ = letterbox(Image.fromarray(image), (width, height), form)
    assert picture.shape == (3, height, width)
    assert picture.dtype == np.float32
    level = {"yolox": 1.0, "imagenet": 1 / 255 / 0.224}.get(name, 1 / 255)
    assert np.abs(picture - expected.numpy()).max() <= 1.01 * level


def test_one_channel_becomes_three() -> None:
    grey = noise(50, 40)[:, :, 0]
    one, placement = letterbox(Image.fromarray(grey), (96, 64), YOLOX)
    three, same = letterbox(Image.fromarray(np.dstack([grey] * 3)), (96, 64), YOLOX)
    assert np.array_equal(one, three)
    assert placement == same


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_place_in_the_picture_is_found_again_in_the_frame(form: PictureForm) -> None:
    frame = np.zeros((300, 500), np.uint8)
    frame[60:220, 120:300] = 255
    picture, placement = letterbox(Image.fromarray(frame), (96, 64), form)
    mean, std = (np.array(v)[:, None, None] for v in (form.mean, form.std))
    levels = (picture * std + mean)[0] / form.scale
    y, x = np.nonzero(levels > 127)
    box = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], float)
    pixel = max(500 / placement.resized[0], 300 / placement.resized[1])
    assert np.abs(placement.back(box)[0] - [120, 60, 300, 220]).max() <= pixel


@given(
    frame=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    size=st.tuples(st.integers(32, 1280), st.integers(32, 1280)),
    form=st.sampled_from(sorted(FORMS)),
)
def test_the_whole_frame_is_in_the_input_and_back(
    frame: tuple[int, int], size: tuple[int, int], form: str
) -> None:
    placement = place(frame, size, FORMS[form])
    (left, top), (width, height) = placement.corner, placement.resized
    assert left >= 0
    assert top >= 0
    assert left + width <= size[0]
    assert top + height <= size[1]
    whole = np.array([[left, top, left + width, top + height]], float)
    assert placement.back(whole)[0] == pytest.approx([0, 0, *frame])
    beyond = np.array([[-1e9, -1e9, 1e9, 1e9]])
    assert placement.back(beyond)[0] == pytest.approx([0, 0, *frame])


def test_each_contract_has_its_own_form() -> None:
    forms = {name: contract.form for name, contract in CONTRACTS.items()}
    assert {name for name, form in forms.items() if form.blue_first} == {"yolox", "yolox-decoded"}
    assert {name for name, form in forms.items() if form.fit == "stretch"} == {
        "rt-detr",
        "rf-detr",
        "transformers",
    }
