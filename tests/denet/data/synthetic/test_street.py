"""A street with several people: what is drawn is where the boxes say."""

from __future__ import annotations

import numpy as np
import pytest

from denet.data.synthetic.shot import SENSORS
from denet.data.synthetic.street import NOISE, Street, Visit

SIZE = (160, 96)

LEFT = Visit(0, (0.0, 2.0), (-30.0, 190.0), 88, 60)
RIGHT = Visit(1, (0.0, 2.0), (190.0, -30.0), 92, 64)
STANDS = Visit(2, (0.5, 1.0), (40.0, 40.0), 86, 56)


@pytest.fixture(scope="module")
def street() -> Street:
    return Street(seed=3, people=3, size=SIZE)


def test_somebody_is_where_the_box_says(street: Street) -> None:
    width, height = SIZE
    (empty,) = street.frames([], 10.0, 1)
    assert empty.boxes == {}
    frames = list(street.frames([STANDS], 10.0, 12))
    seen = [i for i, frame in enumerate(frames) if frame.boxes]
    assert seen == [5, 6, 7, 8, 9, 10]
    for frame in (frames[5], frames[8]):
        left, top, right, foot = frame.boxes[2]
        assert 0 <= left < right <= width
        assert 0 <= top < foot <= height
        assert (left + right) / 2 == pytest.approx(40, abs=12)
        for m in SENSORS:
            change = np.abs(frame.pixels[m].astype(float) - empty.pixels[m])
            change = change if change.ndim == 2 else change.mean(axis=2)
            inside = np.zeros(change.shape, bool)
            inside[int(top) : int(foot), int(left) : int(right)] = True
            near = np.zeros(change.shape, bool)  # the lens blurs
            near[max(int(top) - 3, 0) : int(foot) + 6, max(int(left) - 6, 0) : int(right) + 6] = (
                True
            )
            assert change[inside].mean() > 2 * NOISE[m], m
            assert change[~near].mean() < 2 * NOISE[m], m


def test_the_nearer_hides_the_farther(street: Street) -> None:
    both = list(street.frames([LEFT, RIGHT], 10.0, 12))[10]
    single = list(street.frames([RIGHT], 10.0, 12))[10]
    left, top, right, foot = (int(edge) for edge in single.boxes[1])
    assert set(both.boxes) == {0, 1}
    middle = np.s_[top + 8 : foot - 8, (left + right) // 2 - 3 : (left + right) // 2 + 3]
    apart = np.abs(both.pixels["tir"][middle].astype(float) - single.pixels["tir"][middle])
    assert apart.mean() < 3 * NOISE["tir"]


def test_who_leaves_the_frame_has_no_box_and_who_comes_a_part_of_one(street: Street) -> None:
    frames = list(street.frames([LEFT], 20.0, 41))
    assert frames[0].boxes == {}
    widths = [f.boxes[0][2] - f.boxes[0][0] for f in frames if f.boxes]
    assert widths[0] < max(widths)
    assert all(f.boxes[0][0] >= 0 and f.boxes[0][2] <= SIZE[0] for f in frames if f.boxes)


def test_every_frame_has_noise_of_its_own_and_the_seed_tells_all() -> None:
    one, again, other = (Street(seed, 2, SIZE) for seed in (1, 1, 2))
    first, second = list(one.frames([], 10.0, 2))
    assert all(np.any(first.pixels[m] != second.pixels[m]) for m in SENSORS)
    repeated = next(iter(again.frames([], 10.0, 1)))
    assert all(np.array_equal(first.pixels[m], repeated.pixels[m]) for m in SENSORS)
    another = next(iter(other.frames([], 10.0, 1)))
    assert any(np.mean(first.pixels[m] != another.pixels[m]) > 0.5 for m in SENSORS)


def test_portraits_are_of_the_person_alone(street: Street) -> None:
    made = list(street.portraits(1, 90, 60, 2))
    assert len(made) == 2
    for portrait in made:
        (box,) = portrait.boxes.values()
        for m in SENSORS:
            height, width = portrait.pixels[m].shape[:2]
            assert height == pytest.approx(box[3] - box[1], abs=1)
            assert width == pytest.approx(box[2] - box[0], abs=1)
