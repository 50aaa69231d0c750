"""How many persons a detector finds in visible frames, in thermal ones, and in both together.

    python measurements/detection.py MODEL FOLDER [--scores 0.2,0.3,0.5] [--overlap 0.5] [--windows]

FOLDER has `frames/RGB`, `frames/TI` (registered pixel by pixel) and `boxes.jsonl`: lines with the
`frame` of a person and their `box`, which is the window of a HOG detector: 64 x 128 pixels of it
have a margin of 16 on each side (Dalal and Triggs, 2005), which is taken off first, unless
`--windows` is given. A person counts as found if a box overlaps what is left by half (intersection
over union; `--overlap`), each box for one person. Boxes of others are not counted as wrong: nobody
has said that all persons are in the file. The result is Markdown, for docs/detector.md.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denet.graph import Modality
from runtime.machine import read_machine
from runtime.node.boxes.box import Box
from runtime.node.boxes.detector.finder import DetectorFinder
from runtime.node.boxes.detector.settings import DetectorSettings
from runtime.node.boxes.overlap import overlaps
from runtime.node.sources import Frame
from runtime.node.sources.folder import Recording, read_pixels

MARGIN = (16 / 64, 16 / 128)
"""Of a window, in shares of its width and height, on each side."""

CHOICES: tuple[tuple[Modality, ...], ...] = (("rgb",), ("tir",), ("rgb", "tir"))


@dataclass(frozen=True)
class Recall:
    """Of one choice of sensors: persons found, boxes given, frames with a person who was found."""

    found: int
    boxes: int
    frames: int


def persons(folder: Path, windows: bool) -> dict[str, list[list[float]]]:
    """The boxes of each frame that is there, by its name."""
    known: dict[str, list[list[float]]] = defaultdict(list)
    for line in (folder / "boxes.jsonl").read_text().splitlines():
        found = json.loads(line)
        if (folder / "frames" / "RGB" / found["frame"]).exists():
            known[Path(found["frame"]).stem].append(
                found["box"] if windows else _without_margin(*found["box"])
            )
    return dict(known)


def _without_margin(left: float, top: float, right: float, bottom: float) -> list[float]:
    x, y = MARGIN[0] * (right - left), MARGIN[1] * (bottom - top)
    return [left + x, top + y, right - x, bottom - y]


def matched(known: Sequence[Sequence[float]], boxes: Sequence[Box], overlap: float) -> int:
    """How many persons have a box of their own: pairs are taken by their overlap, best first."""
    rows = np.array([[b.left, b.top, b.right, b.bottom] for b in boxes], float).reshape(-1, 4)
    shares = [(s, i, j) for i, box in enumerate(known) for j, s in enumerate(_shares(box, rows))]
    people: set[int] = set()
    taken: set[int] = set()
    for share, i, j in sorted(shares, reverse=True):
        if share >= overlap and i not in people and j not in taken:
            people.add(i)
            taken.add(j)
    return len(people)


def _shares(box: Sequence[float], rows: np.ndarray) -> list[float]:
    shares: list[float] = overlaps(np.array(box, float), rows).tolist()
    return shares


def measure(
    model: Path,
    folder: Path,
    known: Mapping[str, Sequence[Sequence[float]]],
    score: float,
    overlap: float,
) -> dict[tuple[Modality, ...], Recall]:
    """Recall by each of `CHOICES`."""
    finder = DetectorFinder(
        DetectorSettings(model=str(model), score=score), ("rgb", "tir"), None, {}, None
    )
    totals = {choice: [0, 0, 0] for choice in CHOICES}
    for sample in Recording(folder / "frames", 1).samples:
        frames = {m: Frame(m, 0.0, read_pixels(path), 0) for m, path in sample.files.items()}
        for choice, total in totals.items():
            boxes = [d.box for d in finder.detect({m: frames[m] for m in choice})]
            found = matched(known.get(sample.name, []), boxes, overlap)
            for i, count in enumerate((found, len(boxes), int(found > 0))):
                total[i] += count
    return {choice: Recall(*total) for choice, total in totals.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scores", default="0.2,0.3,0.5")
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--windows", action="store_true", help="with their margin")
    chosen = parser.parse_args()
    known = persons(chosen.folder, chosen.windows)
    people = sum(map(len, known.values()))
    cpu = read_machine().cpu.model
    print(f"{chosen.model.name}, {people} persons in {len(known)} frames, {cpu}\n")
    print("| score | sensors | persons found | in frames | boxes |")
    print("|---|---|---|---|---|")
    for score in map(float, chosen.scores.split(",")):
        for choice, found in measure(
            chosen.model, chosen.folder, known, score, chosen.overlap
        ).items():
            share = f"{found.found} of {people} ({100 * found.found / people:.0f} %)"
            print(
                f"| {score} | {'+'.join(choice)} | {share} | {found.frames} of {len(known)} "
                f"| {found.boxes} |"
            )


if __name__ == "__main__":
    main()
