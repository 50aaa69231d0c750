"""What is usual is learned and unlearned: size, depth, colour."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denet.graph import Modality
from runtime.node.health import Limits
from runtime.node.health.sensor import Sensor
from runtime.node.health.usual import Usual
from runtime.node.health.verdict import Fault
from runtime.node.sources import Frame
from tests.runtime.node.health.parts import LIMITS, TICK, judged, scene

Image = np.ndarray[Any, np.dtype[Any]]
LONG = int(10 / TICK)
TEN = Limits(usual_seconds=10.0)
SENSORS: list[Modality] = ["rgb", "nir", "tir"]


@given(
    runs=st.lists(st.tuples(st.integers(0, 2), st.floats(0.04, 90)), min_size=1, max_size=12),
)
@settings(max_examples=30, deadline=None)
def test_the_usual_value_is_learned_and_unlearned_in_bounded_time(
    runs: list[tuple[int, float]],
) -> None:
    usual, now, last, wrong = Usual[int](60.0), 0.0, None, 0.0
    for value, seconds in runs:
        wrong = wrong if value == last else 0.0
        last = value
        for _ in range(int(seconds / TICK)):
            right = usual.sees(value, now)
            assert right == (usual.value == value)
            wrong = 0.0 if right else wrong + TICK
            assert wrong <= 60.0 + 2 * TICK
            now += TICK


def test_one_odd_frame_fixes_nothing() -> None:
    """The first, or any: a moment later the others are usual."""
    usual = Usual[str](60.0)
    assert usual.sees("odd", 0.0)
    seen = [usual.sees("even", i * TICK) for i in range(1, 100)]
    assert seen.index(True) <= 26
    assert not usual.sees("odd", 4.0)
    assert usual.sees("even", 4.04)


def test_a_pause_teaches_nothing() -> None:
    usual = Usual[str](60.0)
    for i in range(100):
        usual.sees("even", i * TICK)
    assert not usual.sees("odd", 3600.0)


# Colour


SEEDS = itertools.count()


def grey(count: int) -> Iterator[Image]:
    stream = scene((64, 32), seed=next(SEEDS))  # what was shown before would be a loop
    for _ in range(count):
        yield np.repeat(next(stream)[:, :, None], 3, 2)


def coloured(count: int) -> Iterator[Image]:
    for image in grey(count):
        image[..., 0] //= 2
        yield image


def marked(count: int) -> Iterator[Image]:
    """A cross of 9 pixels that wanders, the hottest point of a thermal camera."""
    for i, image in enumerate(grey(count)):
        y, x = 5 + 7 * i % 50, 5 + 11 * i % 20
        image[y - 2 : y + 3, x] = image[y, x - 2 : x + 3] = (255, 0, 0)
        yield image


def in_a_row(*streams: Iterator[Image]) -> Iterator[Image]:
    for stream in streams:
        yield from stream


def faults(sensor: Sensor, images: Iterator[Image]) -> list[Fault | None]:
    return [judged(sensor, Frame("rgb", i * TICK, x, i)).fault for i, x in enumerate(images)]


@pytest.mark.parametrize("modality", SENSORS)
@pytest.mark.parametrize(
    "stream",
    [
        lambda: in_a_row(grey(60), coloured(1), grey(200)),
        lambda: in_a_row(coloured(1), grey(200)),
        lambda: in_a_row(grey(60), coloured(11), grey(200)),
        lambda: marked(300),
        lambda: in_a_row(grey(60), marked(60), grey(60), marked(60)),
    ],
    ids=["one frame", "the first frame", "half a second", "a marker", "a marker at times"],
)
def test_colour_now_and_then_makes_no_grey_stream_faulty(
    modality: Modality, stream: Callable[[], Iterator[Image]]
) -> None:
    found = faults(Sensor(modality, LIMITS), stream())
    # Where the very first frame was the odd one, a second tells.
    assert sum(fault is not None for fault in found) <= 30
    assert set(found[40:]) == {None}


def test_a_day_and_night_camera_works_every_night() -> None:
    day, night = 2 * LONG, 2 * LONG
    found = faults(
        Sensor("rgb", TEN),
        in_a_row(*(s for _ in range(2) for s in (grey(night), coloured(day)))),
    )
    for each in range(2):
        evening = found[each * (day + night) : each * (day + night) + night]
        assert set(evening[LONG + 10 :]) == {None}
        assert set(found[each * (day + night) + night : (each + 1) * (day + night)]) == {None}
    # From the second on, the filter that moved is noticed for a while.
    assert set(found[day + night : day + night + LONG - 10]) == {"channels"}
    told = Sensor("rgb", Limits(colour="any"))
    assert set(faults(told, in_a_row(coloured(60), grey(60), coloured(60), grey(60)))) == {None}
    strict = Sensor("rgb", Limits(colour="always"))
    assert set(faults(strict, grey(2 * LONG))) == {"channels"}


def test_a_stream_that_is_often_grey_is_none_of_colour() -> None:
    images = (x for i in range(600) for x in (grey(1) if i % 4 == 0 else coloured(1)))
    found = faults(Sensor("rgb", Limits(usual_seconds=5.0)), images)
    assert found[-1] is None
    assert set(found[-100:]) == {None}


# Size and depth


def test_a_stream_of_other_pixels_becomes_usual_and_its_first_frame_need_not_be() -> None:
    flat = [next(scene((64, 32))) for _ in range(1)]
    found = faults(Sensor("tir", TEN), in_a_row(iter(flat), grey(60)))
    assert found[1] == "channels"
    assert set(found[32:]) == {None}
    deep = (x.astype(np.uint16) * 256 for x in scene((64, 32)))
    sensor = Sensor("tir", TEN)
    eight = [next(scene((64, 32), seed=i)) for i in range(100)]
    found = faults(sensor, in_a_row(iter(eight), (next(deep) for _ in range(LONG))))
    assert found[100] == "channels"
    assert found[-1] is None


def test_another_size_becomes_usual_only_before_the_first_is_well_known() -> None:
    small, large = next(scene((64, 32))), scene((128, 64))
    found = faults(Sensor("rgb", TEN), in_a_row(iter([small]), (next(large) for _ in range(60))))
    assert found[1] == "size"
    assert set(found[32:]) == {None}
    for limits, known in ((TEN, LONG + 50), (Limits(size=(32, 64)), 1)):
        stream = scene((64, 32))
        found = faults(
            Sensor("rgb", limits),
            in_a_row((next(stream) for _ in range(known)), (next(large) for _ in range(3 * LONG))),
        )
        assert set(found[known:]) == {"size"}
