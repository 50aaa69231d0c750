"""The recording of the demonstration: people walk, cross, stop and return, and sensors fail on cue.

It is drawn, like the people that the bundle of the demonstration was trained on, who are others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.data.synthetic.street import Street, Visit
from denet.folders import FOLDERS, folder_of
from denet.graph import Modality

SIZE = (352, 224)
"""Width and height of the frames in pixels."""

RATE = 10.0
SECONDS = 28.0

SEED = 11
"""Of the street and of who walks there."""

NAMES = ("alice", "bob")
"""Who is enrolled; the others are nobody that the node knows."""

PORTRAITS = 4
"""Pictures that each of them is enrolled with."""

VISITS = (
    Visit(0, (0.5, 7.0), (-30, 382), 200, 118),
    Visit(1, (1.5, 8.5), (382, -30), 213, 128),  # they cross at 4 s
    Visit(2, (8.5, 11.5, 15.0, 18.5), (-30, 170, 170, 382), 200, 116),  # stops
    Visit(3, (11.0, 18.0), (382, -30), 214, 130),  # passes before who stands there
    Visit(0, (17.0, 24.0), (382, -30), 200, 118),  # returns
    Visit(1, (20.0, 27.0), (-30, 382), 213, 128),
)

FAILURES: tuple[tuple[Modality, str, float, float], ...] = tuple(
    (m, what, begin, end)
    for m, (what, begin, end) in zip(
        tuple(FOLDERS),
        (("black", 5.0, 10.0), ("frozen", 19.0, 22.5), ("absent", 12.5, 16.0)),
        strict=True,
    )
)
"""Which sensor fails, how, from when and until when, in seconds."""

QUALITY = 92


def draw_recording(
    folder: Path, notify: Callable[[int, int], None] = lambda *_: None
) -> Mapping[str, list[str]]:
    """Write a recording to `folder`, which is there and empty: `street/RGB` and so on, a frame a
    file; `boxes.jsonl`, where people are; `people/RGB` and so on, pictures to enrol.

    Args:
        folder: where.
        notify: told how many frames are done, and of how many.

    Returns:
        The names of the pictures of each person who is to be enrolled.
    """
    street = Street(SEED, 1 + max(visit.person for visit in VISITS), SIZE)
    count = int(RATE * SECONDS)
    for m in FOLDERS:
        (folder / "street" / folder_of(m)).mkdir(parents=True)
        (folder / "people" / folder_of(m)).mkdir(parents=True)
    before: dict[Modality, NDArray[np.uint8]] = {}
    with (folder / "boxes.jsonl").open("w", encoding="utf-8") as lines:
        for number, frame in enumerate(street.frames(VISITS, RATE, count)):
            name = f"{number:06}"
            for m, pixels in frame.pixels.items():
                shown = failing(m, number / RATE, pixels, before.get(m))
                if shown is not None:
                    before[m] = shown
                    path = folder / "street" / folder_of(m) / f"{name}.jpg"
                    Image.fromarray(shown).save(path, quality=QUALITY)
            line = {"name": name, "boxes": [[*box] for box in frame.boxes.values()]}
            lines.write(json.dumps(line) + "\n")
            notify(number + 1, count)
    enrolled: dict[str, list[str]] = {}
    for person, who in enumerate(NAMES):
        for number, portrait in enumerate(street.portraits(person, 206, 122, PORTRAITS)):
            enrolled.setdefault(who, []).append(f"{who}_{number}")
            for m, pixels in portrait.pixels.items():
                path = folder / "people" / folder_of(m) / f"{who}_{number}.jpg"
                Image.fromarray(pixels).save(path, quality=QUALITY)
    return enrolled


def failing(
    modality: Modality,
    time: float,
    pixels: NDArray[np.uint8],
    before: NDArray[np.uint8] | None,
) -> NDArray[np.uint8] | None:
    """What a sensor gives at `time` in the place of `pixels`: these, where it does not fail; None
    where it gives nothing. `before` is what it gave before."""
    for whose, what, begin, end in FAILURES:
        if whose != modality or not begin <= time < end:
            continue
        if what == "absent":
            return None
        return pixels // 24 if what == "black" else before
    return pixels
