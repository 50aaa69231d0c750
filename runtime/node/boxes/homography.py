"""Homographies: where a place of the RGB frame is in the frames of the other modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.reading import read_json, read_toml, reading
from runtime.node.boxes.box import Box
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Frame

Length = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
Row = tuple[float, float, float]

REFERENCE: Modality = "rgb"
"""In whose frame boxes are given: homographies start there."""

NAME = REFERENCE.upper()
"""Of that frame, in messages."""

GRID = 33
"""Points across and down the RGB frame at which a homography is looked at."""

SINGULAR = 1e6
"""Condition, in units of the two frames, from which on a homography cannot be inverted."""

OVERLAP = 0.05
"""Share of the RGB frame that another modality must see at least."""

BEND = 100.0
"""How many times nearer one corner of the RGB frame may be than another, in perspective."""


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one modality sees what the RGB frame shows.

    Attributes:
        size: (width, height) of its frames in pixels.
        homography: 3 x 3, from pixels of the RGB frame to pixels of this one; None where they are
            the same. Pixels are counted from the upper left corner of the frame.
    """

    size: tuple[Length, Length]
    homography: tuple[Row, Row, Row] | None = None

    def place(self, box: Box) -> Box:
        """The upright box around a box of the RGB frame, in this one.

        A corner behind the camera, which only a box far outside of the frame can have, is nowhere:
        the box is then empty.
        """
        if self.homography is None:
            return box
        found = project(np.array(self.homography), _corners(box))
        return _around(found) or Box(0.0, 0.0, 0.0, 0.0)

    def locate(self, box: Box) -> Box | None:
        """The upright box around a box of this frame, in the RGB one: the way back of `place`.

        None where a corner is behind the RGB camera.
        """
        if self.homography is None:
            return box
        matrix = np.array(self.homography, np.float64)
        # With a last entry above 0, what is in front has a depth above 0 on the way back, too.
        return _around(project(np.linalg.inv(matrix / matrix[2, 2]), _corners(box), front=1.0))


Views = Mapping[Modality, View]
"""By modality; that of `REFERENCE` has the size of the frame that boxes are given in."""


def frame_size(frames: Mapping[Modality, Frame], views: Views | None) -> tuple[int, int] | None:
    """(width, height) of the frame that boxes are given in; None where nothing tells.

    Args:
        frames: of one moment.
        views: how modalities see it; None if all show the same.
    """
    frame = frames.get(REFERENCE)
    if frame is None and views is not None:
        return views[REFERENCE].size if REFERENCE in views else None
    if frame is None:
        frame = next(iter(frames.values()), None)
    return None if frame is None else (frame.image.shape[1], frame.image.shape[0])


def project(
    matrix: NDArray[np.float64], points: NDArray[np.float64], front: float | None = None
) -> NDArray[np.float64]:
    """Points (N, 2) through a homography: (N, 2), and NaN for what is behind the camera.

    Args:
        matrix: 3 x 3.
        points: that are projected.
        front: sign of the depth of what is in front; None for that of the frame's origin.
    """
    raised = np.column_stack((points, np.ones(len(points)))) @ matrix.T
    depth = raised[:, 2] * (np.sign(matrix[2, 2]) if front is None else front)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(depth[:, None] > 0, raised[:, :2] / raised[:, 2:], np.nan)


def grid_of(size: tuple[int, int], count: int) -> NDArray[np.float64]:
    """Points (count * count, 2) of a frame of (width, height), evenly from edge to edge."""
    x, y = np.meshgrid(np.linspace(0, size[0], count), np.linspace(0, size[1], count))
    return np.column_stack((x.ravel(), y.ravel()))


def lands_inside(
    matrix: NDArray[np.float64], points: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """(N,): which points (N, 2) a homography brings into a frame of (width, height)."""
    found = project(matrix, points)
    inside: NDArray[np.bool_] = np.all((found >= 0) & (found <= size), axis=1)
    return inside


def _corners(box: Box) -> NDArray[np.float64]:
    return np.array([(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)], float)


def _around(points: NDArray[np.float64]) -> Box | None:
    """The upright box around points; None if one of them is nowhere."""
    if not np.all(np.isfinite(points)):
        return None
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Box(float(left), float(top), float(right), float(bottom))


def read_views(path: Path, modalities: Sequence[Modality] = tuple(FOLDERS)) -> dict[Modality, View]:
    """The views in a calibration file, TOML or JSON by its name: a table for each modality.

    Args:
        path: the file.
        modalities: that it may have tables of, in their order.

    Raises:
        NodeError: it cannot be read, or has something else in it, or a homography in it cannot be
            one; names it.
    """
    is_json = path.suffix.lower() == ".json"
    document = read_json(path, NodeError) if is_json else read_toml(path, NodeError)
    with reading(path, NodeError, "not a calibration"):
        views = msgspec.convert(document, dict[Modality, View])
    for name in views:
        if name not in modalities:
            raise NodeError(
                f"{path}: not a calibration: [{name}] is no modality: "
                f"choose from {', '.join(modalities)}"
            )
    try:
        check_views(views)
    except NodeError as error:
        raise NodeError(f"{path}: {error}") from None
    return {m: views[m] for m in modalities if m in views}


def check_views(views: Views) -> None:
    """See that homographies can be inverted, and that the frames show the same at least in part.

    Raises:
        NodeError: the size of `REFERENCE` is not given, or a homography cannot be one; names the
            modality.
    """
    if REFERENCE not in views:
        raise NodeError(f"no [{REFERENCE}]: boxes are in its pixels, so give its size")
    reference = views[REFERENCE]
    if reference.homography is not None:
        raise NodeError(
            f"{REFERENCE}.homography: remove it: homographies start at the {NAME} frame"
        )
    for m, view in views.items():
        if view.homography is not None:
            _check(m, np.array(view.homography, np.float64), reference.size, view.size)


def _check(
    modality: Modality,
    matrix: NDArray[np.float64],
    source: tuple[int, int],
    target: tuple[int, int],
) -> None:
    name = f"{modality}.homography"
    if not np.all(np.isfinite(matrix)):
        raise NodeError(f"{name}: has a number that is not finite")
    # In units of the frames, so that pixels and their squares do not count as different.
    unit = np.diag([1 / target[0], 1 / target[1], 1]) @ matrix @ np.diag([*source, 1])
    if matrix[2, 2] == 0 or not np.linalg.cond(unit) < SINGULAR:
        raise NodeError(f"{name}: cannot be inverted")
    width, height = source
    points = grid_of(source, GRID)
    depths = (points @ matrix[2, :2] + matrix[2, 2]) / matrix[2, 2]
    if depths.min() <= 0 or depths.max() > BEND * depths.min():
        raise NodeError(f"{name}: bends the {NAME} frame of {width}x{height} behind the camera")
    inside = lands_inside(matrix, points, target).mean()
    if inside < OVERLAP:
        raise NodeError(
            f"{name}: {100 * inside:.0f} % of the {NAME} frame is inside of {modality}'s "
            f"{target[0]}x{target[1]} pixels: is it the matrix from RGB to {modality}?"
        )
