"""How well cameras are aligned: homographies from points that are read with errors, of which some
are wrong, and from people who walk before both, against the homography with which they are drawn.

    python measurements/alignment.py [--seeds 50]

Told is by how many pixels of the thermal frame, 640x512, a place of the RGB frame lands beside the
true one: in the area where points are (its middle 80 %), and at the worst place of the whole frame.
The result is Markdown, for docs/align.md.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.data.synthetic.street import Street, Visit
from denet.graph import Modality
from runtime.node.align.aligned import align
from runtime.node.align.direct import direct, errors
from runtime.node.align.fit import fit
from runtime.node.align.found import find_people
from runtime.node.align.people import People, people_finders
from runtime.node.boxes.homography import project
from runtime.node.boxes.settings import BoxSettings
from runtime.node.errors import NodeError
from runtime.node.sources import Frame

SIZE, OTHER = (1920, 1080), (640, 512)
TRUTH = np.array([[0.31, 0.01, 12.0], [-0.005, 0.43, 20.0], [1e-5, 2e-5, 1.0]])
READING = 1.0
"""Pixels: standard deviation with which a point is read in the thermal frame."""

STREET, THERMAL = (640, 360), (320, 256)

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = range(parser.parse_args().seeds)
    print(
        "| pairs | of them wrong | where points are | at worst | least squares of all, at worst |"
    )
    print("|---|---|---|---|---|")
    for count in (6, 10, 20, 50):
        for share in (0.0, 0.2, 0.4):
            row = [r for seed in seeds if (r := points(count, share, seed)) is not None]
            refused = "" if len(row) == len(seeds) else f", {len(seeds) - len(row)} refused"
            if not row:
                print(f"| {count} | {share:.0%} | all refused | | |")
                continue
            inside, worst, plain = np.median(row, axis=0)
            here = f"{inside:.1f}{refused}"
            print(f"| {count} | {share:.0%} | {here} | {worst:.1f} | {shown(plain)} |")
    print()
    print("| people | where people walk | at most there | told: median | told: unsure at worst |")
    print("|---|---|---|---|---|")
    for count in (1, 2, 4):
        print(f"| {count} | {people(count)}")


def points(count: int, wrong: float, seed: int) -> tuple[float, float, float] | None:
    """By how much homographies are off: where points are, at worst; and without RANSAC."""
    chance = np.random.default_rng(seed)
    area = np.array(SIZE)
    source = chance.uniform(0.1 * area, 0.9 * area, (count, 2))
    target = project(TRUTH, source) + chance.normal(0, READING, (count, 2))
    those = chance.choice(count, round(wrong * count), replace=False)
    target[those] = chance.uniform((0, 0), OTHER, (len(those), 2))
    try:
        matrix = fit(source, target, 0.01 * max(OTHER)).matrix
    except NodeError:
        return None
    middle = grid(0.1 * area, 0.9 * area)
    everywhere = grid(0 * area, area)
    return off(matrix, middle).mean(), off(matrix, everywhere).max(), plain(source, target)


def plain(source: Array, target: Array) -> float:
    return float(min(1e6, off(direct(source, target), grid((0, 0), SIZE)).max()))


def people(count: int) -> str:
    """Of people who walk at several distances, found by motion alone."""
    feet, heights = (230, 330, 275, 350), (120, 210, 160, 235)
    visits = [
        Visit(i, (2.5 + 3 * i, 9.5 + 3 * i), (-60, 700)[:: (-1) ** i], feet[i], heights[i])
        for i in range(count)
    ]
    scale = np.diag([STREET[0] / SIZE[0], STREET[1] / SIZE[1], 1])
    truth = np.diag([0.5, 0.5, 1]) @ TRUTH @ np.linalg.inv(scale)
    back = np.linalg.inv(truth)
    data = tuple((back / back[2, 2]).ravel()[:8])
    street = Street(5, count, STREET)
    moments = []
    for number, drawn in enumerate(street.frames(visits, 10.0, 10 * (11 + 3 * count))):
        tir = Image.fromarray(drawn.pixels["tir"]).transform(
            THERMAL, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR
        )
        frames: dict[Modality, Frame] = {
            "rgb": Frame("rgb", number / 10, drawn.pixels["rgb"], number),
            "tir": Frame("tir", number / 10, np.asarray(tir), number),
        }
        moments.append((frames, number / 10))
    finder = People(people_finders(BoxSettings(), ("rgb", "tir"), {}))
    try:
        found = align(find_people(moments, finder, None)[0], None, 0.02)["tir"]
    except NodeError as error:
        return f"{error} | | | |"
    walked = grid((40, 110), (600, 350))
    # In pixels of 640x512, as above.
    there = 2 * errors(found.fitted.matrix, walked, project(truth, walked))
    return (
        f"{there.mean():.1f} | {there.max():.1f} | {2 * found.median:.1f} | "
        f"{2 * found.unsure[1]:.1f} |"
    )


def shown(pixels: float) -> str:
    return f"{pixels:.0f}" if pixels < 1000 else "above 1000"


def grid(low: object, high: object) -> Array:
    (left, top), (right, bottom) = np.asarray(low), np.asarray(high)
    x, y = np.meshgrid(np.linspace(left, right, 12), np.linspace(top, bottom, 9))
    return np.column_stack((x.ravel(), y.ravel()))


def off(matrix: Array, where: Array) -> Array:
    return errors(matrix, where, project(TRUTH, where))


if __name__ == "__main__":
    main()
