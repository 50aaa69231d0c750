"""Regions of a mask, against scipy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from scipy import ndimage

from runtime.node.boxes.motion.regions import grown, region_boxes, regions

Masks = drawn.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
AROUND = np.ones((3, 3), bool)


@given(Masks)
def test_regions_are_scipys(mask: np.ndarray) -> None:
    expected, count = ndimage.label(mask, AROUND)
    found = regions(mask)
    assert len(set(zip(found[mask], expected[mask], strict=True))) == count
    assert len(set(found[mask])) == count
    assert not found[~mask].any()


@given(Masks)
def test_a_grown_mask_is_scipys(mask: np.ndarray) -> None:
    assert np.array_equal(grown(mask), ndimage.binary_dilation(mask, AROUND))


@given(Masks)
def test_boxes_are_around_what_a_small_gap_parts(mask: np.ndarray) -> None:
    joined, _ = ndimage.label(ndimage.binary_dilation(mask, AROUND), AROUND)
    expected = {
        (x.start, y.start, x.stop, y.stop)
        for y, x in ndimage.find_objects(np.where(mask, joined, 0))
    }
    assert {tuple(box) for box in region_boxes(mask).tolist()} == expected
