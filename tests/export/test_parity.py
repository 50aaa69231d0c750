"""How far numbers are from PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR, Graph
from export.parity import difference, parity_steps, part_names


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_a_difference_is_that_of_the_worst_row() -> None:
    expected = rows([3, 4], [0, -2])
    found = difference("here", "this", expected, rows([3, 4.5], [1, -2]))
    assert found.cosine == pytest.approx(2 / 5**0.5)
    assert found.relative == pytest.approx(1 / 2)
    assert not found.good
    assert difference("here", "this", expected, expected).good
    assert difference("here", "this", expected, expected * np.float32(1.0009)).good
    assert not difference("here", "this", expected, expected * np.float32(1.0011)).good


def test_a_difference_of_maps_and_of_stacked_vectors_is_taken_row_by_row() -> None:
    expected = np.ones((2, 3, 4), np.float32)
    found = expected.copy()
    found[1, 2, 3] = 2  # the row of this vector: [1, 1, 1, 2]
    assert difference("", "", expected, found).cosine == pytest.approx(5 / 28**0.5)
    maps, other = np.ones((2, 2, 1, 2), np.float32), np.ones((2, 2, 1, 2), np.float32)
    other[1, 1, 0, 1] = 2  # the row of this sample: the same four values
    assert difference("", "", maps, other).cosine == pytest.approx(5 / 28**0.5)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["expected", "found"])
def test_a_dead_or_broken_tensor_never_agrees(value: float, side: str) -> None:
    sound, broken = rows([3, 4], [1, 2]), rows([3, 4], [value, value])
    pair = (broken, sound) if side == "expected" else (sound, broken)
    assert not difference("", "", *pair).good
    assert not difference("", "", broken, broken).good


def test_what_is_compared_follows_the_graph() -> None:
    assert parity_steps(RGB_NIR_TIR) == 15 + 7 + 1
    graph = Graph(("rgb", "tir"))
    assert parity_steps(graph) == 6 + 3 + 1
    assert part_names(Graph(("nir",))) == ("c(S)[nir]",)
    assert part_names(graph) == ("c(S)[rgb]", "c(S)[tir]", "c(anchor)[rgb]", "c(anchor)[tir]")
