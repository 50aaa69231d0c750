"""Overlap against counted pixels, suppression against torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from runtime.node.boxes.overlap import overlaps, suppress

Corner = st.tuples(st.integers(0, 12), st.integers(0, 12))
Sides = st.tuples(st.integers(1, 8), st.integers(1, 8))
Boxes = st.lists(st.tuples(Corner, Sides), min_size=1, max_size=6)


def painted(box: np.ndarray) -> np.ndarray:
    canvas = np.zeros((20, 20), bool)
    left, top, right, bottom = box.astype(int)
    canvas[top:bottom, left:right] = True
    return canvas


@given(Boxes)
def test_overlap_is_that_of_painted_pixels(drawn: list[tuple[tuple[int, int], ...]]) -> None:
    boxes = np.array([(*corner, *np.add(corner, sides)) for corner, sides in drawn], float)
    first = painted(boxes[0])
    expected = [(first & p).sum() / (first | p).sum() for p in map(painted, boxes)]
    assert overlaps(boxes[0], boxes) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from([0.1, 0.45, 0.6, 0.9]))
def test_suppression_is_torchvisions(seed: int, count: int, overlap: float) -> None:
    chance = np.random.default_rng(seed)
    corners = chance.uniform(0, 60, (count, 2))
    boxes = np.hstack((corners, corners + chance.uniform(5, 50, (count, 2))))
    scores = chance.permutation(count) / 64 + 1 / 64  # no two alike: ties are torch's own affair
    labels = chance.integers(0, 3, count)
    expected = batched_nms(*(torch.from_numpy(x) for x in (boxes, scores, labels)), overlap)
    assert suppress(boxes, scores, labels, overlap).tolist() == expected.tolist()


def test_of_equal_boxes_one_of_each_class_stays() -> None:
    boxes = np.tile([[1.0, 2.0, 9.0, 20.0]], (4, 1))
    labels = np.array([0, 1, 0, 1])
    assert suppress(boxes, np.array([0.5, 0.4, 0.5, 0.6]), labels, 0.6).tolist() == [3, 0]
