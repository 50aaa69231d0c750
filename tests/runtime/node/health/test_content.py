"""Every fault of pixels against the truth, and streams that are well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.faults import EFFECTS
from runtime.node.faults.effects import Past
from runtime.node.health import Limits
from runtime.node.health.colour import Colour
from runtime.node.health.content import Content
from runtime.node.health.sensor import Sensor
from runtime.node.sources import Frame
from tests.runtime.node.health.parts import LIMITS, ONSET, TICK, frames, judged, scene

# Every fault, against the truth

FORMS: dict[str, tuple[tuple[int, ...], Any]] = {
    "colour": ((96, 48, 3), np.uint8),
    "grey": ((96, 48), np.uint8),
    "thermal of 16 bits": ((96, 48), np.uint16),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "kind", [k for k in EFFECTS if k not in ("absent", "stale", "out of step")]
)
def test_a_fault_is_found_at_once_and_forgiven_after_five_frames(kind: str, form: str) -> None:
    shape, dtype = FORMS[form]
    for seed in range(4):
        sensor = Sensor("rgb", LIMITS)
        stream = frames(scene(shape, dtype, seed=seed))
        past = [next(stream) for _ in range(60)]
        assert all(judged(sensor, f).healthy for f in past)
        fault, make = EFFECTS[kind]
        effect = make(Past(past[-16:]), np.random.default_rng(seed))
        verdicts = []
        for f in (next(stream) for _ in range(20)):
            seen = effect(f)
            assert seen is not None
            verdicts.append(judged(sensor, seen))
        onset = ONSET if fault in ("frozen", "looping") else 0
        found = [v.fault for v in verdicts]
        assert set(found[:onset]) <= {None}
        if kind in ("torn: shifted", "frozen, coded anew"):
            assert found.count(fault) >= 12  # docs/node.md says how often it is missed
        else:
            assert found[onset:] == [fault] * (20 - onset)
        after = [judged(sensor, next(stream)) for _ in range(10)]
        assert all(v.healthy for v in after[LIMITS.recovery_frames - 1 :]), after
        assert all(v.reason for v in (*verdicts, *after) if v.fault)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 12, 25, 60])
def test_loops_of_any_length_are_found(count: int) -> None:
    sensor, stream = Sensor("tir", LIMITS), frames(scene((96, 48)), "tir")
    past = [next(stream) for _ in range(70)]
    assert all(judged(sensor, f).healthy for f in past)
    loop = [
        replace(past[-count + i % count], time=(70 + i) * TICK, sequence=70 + i) for i in range(100)
    ]
    verdicts = [judged(sensor, f).fault for f in loop]
    assert verdicts[:ONSET] == [None] * ONSET
    assert set(verdicts[ONSET:]) == {"looping"}


@pytest.mark.parametrize("count", [1, 2, 5, 25, 60])
def test_the_replay_of_a_recording_is_no_fault(count: int) -> None:
    """`loop = true` shows the same pictures again and again, which a camera must not."""
    stream = frames(scene((96, 48)), "tir")
    images = [next(stream).image for _ in range(count)]
    looped = [
        Frame("tir", i * TICK, images[i % count], i, position=(i % count) * TICK)
        for i in range(200)
    ]
    sensor, camera = Sensor("tir", LIMITS), Sensor("tir", LIMITS)
    assert all(judged(sensor, f).healthy for f in looped)
    if count >= 25:  # of fewer pictures a camera's noise would not be known either
        assert "looping" in [judged(camera, replace(f, position=None)).fault for f in looped]


def test_what_stands_still_inside_of_a_recording_is_found() -> None:
    stream = frames(scene((96, 48)), "tir")
    images = [next(stream).image for _ in range(40)]
    images[30:] = [images[30]] * 10
    sensor = Sensor("tir", LIMITS)
    for i in range(120):
        frame = Frame("tir", i * TICK, images[i % 40], i, position=(i % 40) * TICK)
        fault = judged(sensor, frame).fault
        if i % 40 >= 30 + LIMITS.repeat_frames:
            assert fault == "frozen", i
        elif LIMITS.repeat_frames <= i % 40 <= 30:
            assert fault is None, i


def test_a_frozen_stream_without_noise_is_found_later() -> None:
    """Coded hard, a still scene repeats itself bit for bit: only time tells, the longest while
    nothing is known of the coder."""
    image = next(scene((96, 48)))
    sensor = Sensor("rgb", Limits(quiet_most=8.0))
    verdicts = [judged(sensor, f).fault for f in frames(iter([image] * 300))]
    seconds = verdicts.index("frozen") * TICK
    assert 8.0 <= seconds <= 8.0 + 2 * TICK
    assert set(verdicts[verdicts.index("frozen") :]) == {"frozen"}


def test_a_key_frame_now_and_then_is_no_freeze() -> None:
    stream = scene((96, 48))
    sensor = Sensor("rgb", LIMITS)
    images = [image for _ in range(10) for image in [next(stream)] * 50]
    assert all(judged(sensor, f).healthy for f in frames(iter(images)))


@pytest.mark.parametrize("times", [2, 4, 5, 7, 20])
def test_a_slow_sensor_in_a_fast_stream(times: int) -> None:
    images = (image for image in scene((96, 48)) for _ in range(times))
    sensor = Sensor("tir", LIMITS)
    stream = frames(images, "tir")
    *_, last = (judged(sensor, next(stream)) for _ in range(100 * times))
    assert last.healthy
    patient = Sensor("tir", Limits(repeat_frames=8))
    stopped = Frame("tir", 0.0, next(stream).image, 0)
    if times < 8:
        # It is known that each picture is new: soon found.
        for i in range(100 * times):
            assert judged(patient, next(stream)).healthy, i
        found = [judged(patient, replace(stopped, time=1e4 + i)).fault for i in range(20)]
        assert found.index("frozen") <= 8


def test_noise_that_falls_is_learned_again() -> None:
    """A camera whose denoising is switched on is no torn one for long."""
    sensor = Sensor("rgb", LIMITS)
    loud, soft = scene((96, 48), noise=3.0), scene((96, 48), noise=0.5)
    images = [next(loud) for _ in range(60)] + [next(soft) for _ in range(300)]
    verdicts = [judged(sensor, f) for f in frames(iter(images))]
    assert all(v.healthy for v in verdicts[:60])
    assert all(v.healthy for v in verdicts[-100:])


@given(
    noise=st.floats(0.3, 12),
    width=st.integers(16, 90),
    height=st.integers(16, 150),
    colour=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_a_good_stream_raises_no_alarm(
    noise: float, width: int, height: int, colour: bool, seed: int
) -> None:
    shape = (height, width, 3) if colour else (height, width)
    sensor = Sensor("rgb", LIMITS)
    stream = frames(scene(shape, noise=noise, seed=seed))
    assert all(judged(sensor, next(stream)).healthy for _ in range(80))


# Drawn persons


def test_content_forgets_nothing_between_faults() -> None:
    """A stream that freezes while it is black is frozen still when the light comes back."""
    content = Content((96, 48), np.dtype(np.uint8), LIMITS, Colour(LIMITS))
    stream = frames(scene((96, 48)))
    last = None
    for _ in range(40):
        last = next(stream)
        assert content.judge(last) is None
    assert last is not None
    dark = replace(last, image=np.zeros_like(last.image))
    found = [content.judge(dark) for _ in range(10)]
    assert all(f is not None and f.fault == "black" for f in found)
    found = [content.judge(last) for _ in range(10)]
    assert found[-1] is not None
    assert found[-1].fault == "frozen"
