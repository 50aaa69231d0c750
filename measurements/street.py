"""A drawn recording with several people: what `tracks.py` measures on.

People walk past, stop, turn back, leave and return; the nearer hides the farther; boxes are as a
detector gives them: a little off, weak where somebody is hidden, sometimes missing or false; and
sensors fail for seconds, sometimes all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.data.records import ImageRef, Record
from denet.graph import Modality, State
from denet.pixels import FULL
from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.preprocess import to_pillow

WIDTH, HEIGHT = 640, 256
RATE = 10.0

Frames = Mapping[Modality, NDArray[np.uint8]]


@lru_cache(maxsize=4096)
def opened(ref: ImageRef) -> Image.Image:
    """A picture in three channels."""
    return to_pillow(ref.open(), FULL).convert("RGB")


@dataclass(frozen=True)
class Scene:
    """A moment.

    Attributes:
        time: seconds.
        state: what is healthy; None if nothing is, and nobody can be seen.
        frames: pixels of what is healthy.
        truth: who is where, of those who are not hidden.
        found: what a detector finds.
    """

    time: float
    state: State | None
    frames: Frames
    truth: Mapping[int, Box]
    found: Sequence[Detection]


@dataclass(frozen=True)
class Visit:
    """Somebody comes and goes: places at times, linear in between."""

    person: int
    times: tuple[float, ...]
    places: tuple[float, ...]
    foot: float

    def box(self, time: float) -> Box | None:
        if not self.times[0] <= time <= self.times[-1]:
            return None
        x = float(np.interp(time, self.times, self.places))
        height = 0.75 * self.foot - 60
        return Box(x - height / 4, self.foot - height, x + height / 4, self.foot)


def visits(people: Sequence[int], seconds: float, chance: np.random.Generator) -> list[Visit]:
    """Who comes when: each twice, the second time some seconds after leaving."""
    made = []
    for person in people:
        begin = chance.uniform(0, seconds / 4)
        for _ in range(2):
            foot = chance.uniform(200, 250)
            left, right = -40.0, WIDTH + 40.0
            ways = (left, right) if chance.random() < 0.5 else (right, left)
            speed = chance.uniform(50, 110)
            middle = chance.uniform(200, WIDTH - 200)
            kind = chance.choice(["pass", "stop", "turn"])
            there = begin + abs(middle - ways[0]) / speed
            rest = chance.uniform(3, 8) if kind == "stop" else 0.3
            end = ways[0] if kind == "turn" else ways[1]
            gone = there + rest + abs(end - middle) / speed
            times = (begin, there, there + rest, gone)
            made.append(Visit(person, times, (ways[0], middle, middle, end), foot))
            begin = gone + chance.uniform(4, 20)
    return made


def states(
    graph_states: Sequence[State], seconds: float, chance: np.random.Generator
) -> Iterator[State | None]:
    """What is healthy at each moment."""
    count, moments = 0, int(seconds * RATE)
    while count < moments:
        draw = chance.random()
        state = graph_states[0] if draw < 0.4 else graph_states[chance.integers(len(graph_states))]
        length = int(chance.uniform(3, 10) * RATE)
        if draw > 0.92:
            state, length = None, int(chance.uniform(0.3, 1.0) * RATE)
        for _ in range(min(length, moments - count)):
            yield state
        count += length


def recording(
    shots: Mapping[int, Sequence[Record]],
    graph_states: Sequence[State],
    seconds: float,
    seed: int,
) -> Iterator[Scene]:
    """The moments of a recording.

    Args:
        shots: pictures of each person, all of one camera.
        graph_states: of the model, the complete one first.
        seconds: how long.
        seed: another one gives another recording.
    """
    chance = np.random.default_rng(seed)
    coming = visits(list(shots), seconds, chance)
    modalities = graph_states[0].available
    walls = {
        m: Image.fromarray(
            np.asarray(
                Image.fromarray(chance.integers(60, 190, (8, 20, 3), dtype=np.uint8)).resize(
                    (WIDTH, HEIGHT), Image.Resampling.BILINEAR
                )
            )
        )
        for m in modalities
    }
    for i, state in enumerate(states(graph_states, seconds, chance)):
        time = i / RATE
        boxes = [(v, box) for v in coming if (box := v.box(time)) is not None]
        boxes.sort(key=lambda each: each[0].foot)
        hidden = [
            max((_common(box, nearer) for _, nearer in boxes[k + 1 :]), default=0.0) / _area(box)
            for k, (_, box) in enumerate(boxes)
        ]
        truth = {
            v.person: cut
            for (v, box), share in zip(boxes, hidden, strict=True)
            if share < 0.75 and (cut := _inside(box)) is not None
        }
        if state is None:
            yield Scene(time, None, {}, truth, [])
            continue
        frames = {m: walls[m].copy() for m in state.available}
        for visit, box in boxes:
            own = shots[visit.person]
            shot = own[int(time + visit.times[0]) % len(own)]  # another one each second
            for m, frame in frames.items():
                size = max(2, round(box.right - box.left)), max(2, round(box.bottom - box.top))
                picture = opened(shot.images[m]).resize(size)
                frame.paste(picture, (round(box.left), round(box.top)))
        found = list(_detections(boxes, hidden, state, chance))
        pixels = {m: np.asarray(frame) for m, frame in frames.items()}
        yield Scene(time, state, pixels, truth, found)


def _detections(
    boxes: Sequence[tuple[Visit, Box]],
    hidden: Sequence[float],
    state: State,
    chance: np.random.Generator,
) -> Iterator[Detection]:
    visible = state.available[0] == "rgb"
    for (_, box), share in zip(boxes, hidden, strict=True):
        cut = _inside(box)
        if cut is None or share > 0.75 or chance.random() < (0.03 if visible else 0.08):
            continue
        spread = (0.02 if visible else 0.04) * (box.bottom - box.top)
        off = 0.0 if visible else 4.0  # a calibration is never quite right
        sides = np.array([cut.left, cut.top, cut.right, cut.bottom])
        left, top, right, bottom = map(float, sides + chance.normal(off, spread, 4))
        score = float(np.clip(0.2 + 0.7 * (1 - share) + chance.normal(0, 0.05), 0.05, 0.99))
        if right - left > 4 and bottom - top > 4:
            yield Detection(Box(left, top, right, bottom), score, "person", ())
    if chance.random() < 0.02:
        x, y = chance.uniform(0, WIDTH - 50), chance.uniform(0, HEIGHT - 100)
        yield Detection(Box(x, y, x + 45, y + 90), float(chance.uniform(0.3, 0.6)), "person", ())


def _inside(box: Box) -> Box | None:
    """The part inside of the frame; None if that is little."""
    left, right = max(box.left, 0.0), min(box.right, float(WIDTH))
    if right - left < 0.3 * (box.right - box.left):
        return None
    return Box(left, box.top, right, min(box.bottom, float(HEIGHT)))


def _common(one: Box, other: Box) -> float:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0.0, width) * max(0.0, height)


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)
