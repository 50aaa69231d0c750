"""16-bit streams whose range is not that of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from runtime.node.health import Limits
from runtime.node.health.range_use import SEEN
from runtime.node.health.sensor import Sensor
from tests.runtime.node.health.parts import Image, frames, judged, scene


def raw(low: int, high: int, part: float = 1.0, seed: int = 0) -> Iterator[Image]:
    """What a thermal camera gives whose scene lies between two values, or in a part of that."""
    for image in scene((96, 48), noise=6.0, seed=seed):
        levels = 0.5 + ((image.astype(float) - 60) / 130 - 0.5) * part
        yield np.rint(np.clip(low + levels * (high - low), 0, 65535)).astype(np.uint16)


def faults(images: Iterator[Image], limits: Limits, count: int = 60) -> list[str | None]:
    sensor = Sensor("tir", limits)
    return [judged(sensor, frame).fault for frame in islice(frames(images), count)]


def test_14_bits_on_a_range_of_16_are_not_healthy() -> None:
    found = faults(raw(7000, 9000), Limits())
    assert found[: SEEN - 1] == [None] * (SEEN - 1)
    assert set(found[SEEN - 1 :]) == {"range"}


@pytest.mark.parametrize("range16", [(7000, 9000), (0, 16383), (6500.5, 9500.5)])
def test_a_range_that_fits_is_healthy(range16: tuple[float, float]) -> None:
    assert set(faults(raw(7000, 9000), Limits(range16=range16))) == {None}


def test_a_range_that_is_beside_the_pixels_is_not_healthy() -> None:
    half = (
        np.where(np.arange(48) % 2, low, high).astype(np.uint16)
        for low, high in zip(raw(3000, 4000), raw(20000, 30000), strict=True)
    )
    assert faults(half, Limits(range16=(7000, 9000)))[-1] == "range"


def test_the_reason_says_what_is_seen_and_what_to_set() -> None:
    sensor = Sensor("tir", Limits())
    *_, last = (judged(sensor, frame) for frame in islice(frames(raw(7000, 9000)), 40))
    assert "use 2." in last.reason or "use 3." in last.reason
    assert "0 to 65535" in last.reason
    assert "range" in last.reason


def test_an_empty_scene_is_healthy_for_good_once_somebody_was_seen() -> None:
    limits = Limits(range16=(7000, 9000))
    empty, people = raw(7000, 9000, part=0.03), raw(7000, 9000)
    sensor = Sensor("tir", limits)
    stream = frames(iter([*islice(people, 2), *islice(empty, 3 * SEEN)]))
    assert {judged(sensor, frame).fault for frame in stream} == {None}


def test_somebody_who_comes_ends_the_fault() -> None:
    sensor = Sensor("tir", Limits(range16=(7000, 9000)))
    images = [*islice(raw(7000, 9000, part=0.03), 2 * SEEN), *islice(raw(7000, 9000), 20)]
    found = [judged(sensor, frame).fault for frame in frames(iter(images))]
    assert found[2 * SEEN - 1] == "range"
    assert found[-1] is None


def test_the_share_is_a_setting_and_8_bits_are_never_asked() -> None:
    assert set(faults(raw(7000, 9000), Limits(range_use=0))) == {None}
    assert set(faults(raw(7000, 9000), Limits(range_use=0.01))) == {None}
    low = ((100 + image // 60).astype(np.uint8) for image in scene((96, 48), noise=60))
    assert "range" not in faults(low, Limits())
