"""Pairs of points, the same place in the RGB frame and in that of another camera; their file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.marks import OutputKind, document
from denet.reading import read_json
from runtime.node.align.direct import Points
from runtime.node.boxes.homography import REFERENCE, Length
from runtime.node.errors import NodeError

FORMAT: Final = "denet points"

MOST_POINTS = 100_000
"""In a file: an hour of people has less."""

Place = tuple[float, float]
"""x and y in pixels, from the upper left corner of the frame."""

Size = tuple[int, int]


class PointFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Places that several cameras see.

    Attributes:
        format: says what the file is.
        sizes: (width, height) of the frames of each modality.
        points: where each place is in the frames of those that see it.
    """

    format: Literal["denet points"] = FORMAT
    sizes: dict[Modality, tuple[Length, Length]]
    points: Annotated[list[dict[Modality, Place]], msgspec.Meta(max_length=MOST_POINTS)]

    def __post_init__(self) -> None:
        """See that it can be used.

        Raises:
            ValueError: it cannot; says what is wrong.
        """
        known = ", ".join(FOLDERS)
        for m in self.sizes:
            if m not in FOLDERS:
                raise ValueError(f"sizes: {m!r} is no modality: choose from {known}")
        if REFERENCE not in self.sizes:
            raise ValueError(f"sizes: {REFERENCE} is missing: homographies start there")
        for number, point in enumerate(self.points, 1):
            for m, place in point.items():
                if m not in self.sizes:
                    raise ValueError(
                        f"point {number}: sizes does not say how large {m}'s frames are"
                    )
                width, height = self.sizes[m]
                x, y = place
                if not (math.isfinite(x) and math.isfinite(y)):
                    raise ValueError(f"point {number}: {m} is not finite")
                if not (0 <= x <= width and 0 <= y <= height):
                    raise ValueError(
                        f"point {number}: {m} at {x:g}, {y:g} is outside of {width}x{height}"
                    )

    @property
    def targets(self) -> list[Modality]:
        """The cameras beside the reference, in their order."""
        return [m for m in FOLDERS if m in self.sizes and m != REFERENCE]

    def pairs(self, modality: Modality) -> tuple[Points, Points, list[int]]:
        """Places in the RGB frame (N, 2), in that of a modality (N, 2), and their numbers in the
        file, from 1."""
        both = [
            (number, point[REFERENCE], point[modality])
            for number, point in enumerate(self.points, 1)
            if REFERENCE in point and modality in point
        ]
        source = np.array([each[1] for each in both], float).reshape(-1, 2)
        target = np.array([each[2] for each in both], float).reshape(-1, 2)
        return source, target, [each[0] for each in both]

    def text(self) -> str:
        """The file: a point a line."""
        rows = ",\n".join(
            "  " + json.dumps({m: [round(x, 2), round(y, 2)] for m, (x, y) in point.items()})
            for point in self.points
        )
        sizes = json.dumps({m: list(size) for m, size in self.sizes.items()})
        head = f'"format": {json.dumps(FORMAT)},\n "sizes": {sizes}'
        return f'{{{head},\n "points": [\n{rows}\n]}}\n'


POINTS = OutputKind(".json", "points are", "a file of points of denet", document(FORMAT))


def read_points(path: Path) -> PointFile:
    """The points in a file.

    Raises:
        NodeError: it cannot be read, or is no such file; names it.
    """
    return read_json(path, NodeError, kind=PointFile)


def joined(
    sizes: Mapping[Modality, Size], pairs: Mapping[Modality, Sequence[tuple[Place, Place]]]
) -> PointFile:
    """Points of pairs that were found: of each modality places in the RGB frame, and in its own."""
    points = [
        {REFERENCE: source, m: target} for m, found in pairs.items() for source, target in found
    ]
    return PointFile(sizes=dict(sizes), points=points[:MOST_POINTS])
