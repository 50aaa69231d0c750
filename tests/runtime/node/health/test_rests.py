"""Still scenes behind a coder: what stands still by habit, and what has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.health import Limits, LimitsError
from runtime.node.health.rests import Rests
from runtime.node.health.sensor import Sensor
from runtime.node.health.verdict import Fault
from tests.runtime.node.health.parts import LIMITS, TICK, frames, judged, scene

Image = np.ndarray[Any, np.dtype[Any]]


SLOW = 0.2
"""Seconds between two frames, where minutes are to go by."""

SHORT = Limits(quiet_seconds=1.0, quiet_most=12.0)


def faults(
    sensor: Sensor, images: Iterator[Image], start: int = 0, tick: float = TICK
) -> list[Fault | None]:
    return [
        judged(sensor, replace(f, time=f.sequence * tick)).fault
        for f in frames(images, start=start)
    ]


def still(count: int, gop: int, refined: int, seed: int = 0) -> Iterator[Image]:
    """A still scene that is coded hard: new every `gop` frames and in `refined` steps behind."""
    stream = scene((64, 32), noise=1.0, seed=seed)
    images = [next(stream)] * (refined + 1)
    for i in range(count):
        if i % gop <= refined:
            first = next(stream) if i % gop == 0 else images[0]
            images[0] = first
            noise = np.random.default_rng(i).integers(0, 2, first.shape, np.uint8)
            image = first + noise * np.uint8(i % gop > 0)
        yield image


@given(gop=st.integers(25, 150), refined=st.integers(0, 4), seed=st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_no_period_of_key_frames_is_a_freeze_and_a_freeze_is_found_in_bounded_time(
    gop: int, refined: int, seed: int
) -> None:
    """One key frame in 1 to 6 s, where 12 s are the most that may stand still."""
    sensor = Sensor("rgb", SHORT)
    count = int(36 / TICK)
    assert set(faults(sensor, still(count, gop, refined, seed))) == {None}
    last = next(scene((64, 32), seed=77))
    found = faults(sensor, iter([last] * int(15 / TICK)), start=count)
    seconds = found.index("frozen") * TICK
    assert seconds <= SHORT.quiet_most + 2 * TICK
    # What is known of the coder makes it sooner.
    assert seconds <= max(4 * gop * TICK, SHORT.quiet_seconds) + 2 * TICK
    assert set(found[found.index("frozen") :]) == {"frozen"}


def test_a_scene_that_comes_to_rest_for_the_first_time_is_not_frozen() -> None:
    """By day something small moves at all times; in the evening one key frame in 25 s is left."""
    sensor = Sensor("rgb", LIMITS)
    chance, image = np.random.default_rng(0), next(scene((64, 32)))
    day = [image.copy() for _ in range(500)]
    for image in day:
        image[20:44, 14:17] = 100 + chance.integers(0, 4, (24, 3))
    assert set(faults(sensor, iter(day))) == {None}
    assert set(faults(sensor, still(1500, 625, 2), start=500)) == {None}


def test_noise_that_is_coded_away_by_night_is_unlearned() -> None:
    sensor, start, night = Sensor("rgb", LIMITS), 200, int(600 / SLOW)
    day = scene((64, 32), noise=2.0)
    assert set(faults(sensor, (next(day) for _ in range(start)), tick=SLOW)) == {None}
    found = faults(sensor, still(night, 50, 2), start, SLOW)
    assert "frozen" in found
    assert set(found[int(360 / SLOW) :]) == {None}
    # And learned again in the morning: a freeze is found at its fifth frame.
    start += night
    assert set(faults(sensor, (next(day) for _ in range(200)), start, SLOW)) == {None}
    found = faults(sensor, iter([next(day)] * 20), start + 200, SLOW)
    assert found.index("frozen") == LIMITS.repeat_frames


def test_freezes_of_a_noisy_stream_are_no_habit() -> None:
    sensor, stream, start = Sensor("rgb", LIMITS), scene((64, 32), noise=2.0), 0
    for _ in range(12):
        images = [next(stream) for _ in range(40)]
        assert faults(sensor, iter(images), start=start)[-1] is None
        found = faults(sensor, iter([images[-1]] * 50), start=start + 40)
        assert found.index("frozen") < LIMITS.repeat_frames
        start += 90


def test_a_pause_of_the_stream_is_no_stillness() -> None:
    """A camera that was lost for an hour and shows the same scene has not stood still for one."""
    image = next(scene((64, 32)))
    sensor = Sensor("rgb", LIMITS)
    assert set(faults(sensor, iter([image] * 50))) == {None}
    assert set(faults(sensor, iter([image] * 50), start=90_000)) == {None}


def test_a_quiet_stream_recovers_from_another_fault_though_nothing_changes() -> None:
    sensor, image = Sensor("rgb", LIMITS), next(scene((64, 32)))
    images = [image] * 20 + [np.zeros_like(image)] * 20 + [image] * 20
    found = faults(sensor, iter(images))
    assert found[20:40] == ["black"] * 20
    assert set(found[-15:]) == {None}


@given(
    marks=st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), max_size=200),
    least=st.floats(0.1, 60),
)
@settings(deadline=None)
def test_what_is_allowed_stays_between_its_bounds(
    marks: list[tuple[int, float]], least: float
) -> None:
    rests = Rests(Limits(quiet_seconds=least, quiet_most=60.0))
    for count, seconds in marks:
        rests.end(count, seconds)
        assert least <= rests.longest <= 60.0


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(LimitsError, match="quiet_seconds, quiet_most are 9 and 8"):
        Limits(quiet_seconds=9.0, quiet_most=8.0)
