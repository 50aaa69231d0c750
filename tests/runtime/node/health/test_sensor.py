"""One sensor: form, time, absence, recovery."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.node.health import Limits
from runtime.node.health.probation import Probation
from runtime.node.health.sensor import Sensor
from runtime.node.health.verdict import Finding
from runtime.node.sources import (
    Frame,
)
from tests.runtime.node.health.parts import LIMITS, frames, judged, scene


def test_size_and_channels_are_those_of_the_first_frame_or_of_the_settings() -> None:
    small, large = next(scene((96, 48))), next(scene((192, 96)))
    sensor = Sensor("rgb", LIMITS)
    assert judged(sensor, Frame("rgb", 0.0, small, 0)).healthy
    verdict = judged(sensor, Frame("rgb", 0.1, large, 1))
    assert verdict.fault == "size"
    assert verdict.reason == "96x192 pixels instead of 48x96"
    deep = judged(sensor, Frame("rgb", 0.2, small.astype(np.uint16) * 256, 2))
    assert (deep.fault, deep.reason) == ("channels", "grey of 16 bits instead of grey of 8 bits")
    told = Sensor("rgb", Limits(size=(96, 192)))
    assert judged(told, Frame("rgb", 0.0, small, 0)).fault == "size"
    assert judged(told, Frame("rgb", 0.1, large, 1)).healthy
    crops = Sensor("rgb", Limits(any_size=True))
    assert all(judged(crops, f).healthy for f in frames(iter([small, large, small])))
    tiny = judged(crops, Frame("rgb", 9.0, small[:4], 9))
    assert (tiny.fault, tiny.reason) == ("size", "48x4 pixels are too few to be judged")


def test_grey_in_three_channels_is_healthy_unless_there_is_usually_colour() -> None:
    grey = (np.repeat(x[:, :, None], 3, 2) for x in scene((96, 48)))
    sensor = Sensor("rgb", LIMITS)
    stream = frames(grey)
    assert all(judged(sensor, next(stream)).healthy for _ in range(20))
    assert judged(sensor, Frame("rgb", 2.0, next(scene((96, 48, 3))), 50)).healthy
    assert judged(sensor, next(stream)).healthy
    sensor, colour = Sensor("rgb", LIMITS), frames(scene((96, 48, 3)))
    assert all(judged(sensor, next(colour)).healthy for _ in range(20))
    assert judged(sensor, next(stream)).fault == "channels"


def test_old_frames_are_stale_and_a_frame_is_judged_once() -> None:
    sensor, stream = Sensor("rgb", LIMITS), frames(scene((96, 48)))
    first = next(stream)
    assert sensor.judge(first, first.time + 0.4).healthy
    old = next(stream)
    verdict = sensor.judge(old, old.time + 0.6)
    assert (verdict.fault, verdict.reason) == ("stale", "it was captured 0.60 s ago")
    again = next(stream)
    assert sensor.judge(again, again.time) is sensor.judge(again, again.time)


@given(st.lists(st.sampled_from("gbu"), max_size=60), st.integers(1, 6))
def test_recovery_takes_as_long_as_the_fault_but_no_longer_than_told(
    marks: list[str], most: int
) -> None:
    """Against the rule read from the whole history, not kept frame by frame."""
    recovery = Probation("rgb", most)
    last_healthy = -1
    for i, mark in enumerate(marks):
        if mark == "b":
            verdict = recovery.bad(Finding("black", "dark"))
        else:
            verdict = recovery.good() if mark == "g" else recovery.unsure()
        since = marks[last_healthy + 1 : i + 1]
        bad = since.count("b")
        after = since[len(since) - since[::-1].index("b") :] if bad else since
        healthy = bad == 0 or (mark == "g" and after.count("g") >= min(bad, most))
        assert verdict.healthy == healthy
        assert healthy or verdict.fault == "black"
        if healthy:
            last_healthy = i
