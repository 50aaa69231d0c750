"""What came out for each camera: its homography, and how well the points agree with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph import Modality
from runtime.node.align.direct import Points, errors
from runtime.node.align.fit import Fitted, fit, overlap_of
from runtime.node.align.points import PointFile, Size
from runtime.node.boxes.homography import REFERENCE, View, check_views
from runtime.node.errors import NodeError

WITHIN = 0.01
"""Of the longer side of the other frame: by how much a pair may be off, as a rule."""

DIGITS = 12
"""Of the numbers of a homography."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """One camera beside the RGB camera.

    Attributes:
        modality: of it.
        view: what a calibration says of it.
        size: (width, height) of the RGB frames.
        fitted: the homography, which pairs were used and how far each is off.
        source, target: the pairs, (N, 2) each, in the RGB frame and in this one.
        numbers: of the pairs in their file, from 1.
    """

    modality: Modality
    view: View
    size: Size
    fitted: Fitted
    source: Points
    target: Points
    numbers: list[int]

    @property
    def off(self) -> np.ndarray:
        """Pixels by which the pairs that were used are off."""
        return self.fitted.errors[self.fitted.kept]

    @property
    def median(self) -> float:
        """Of `off`."""
        return float(np.median(self.off))

    @property
    def p95(self) -> float:
        """Of `off`."""
        return float(np.percentile(self.off, 95))

    @property
    def unsure(self) -> tuple[float, float]:
        """Standard deviation in pixels where the pairs are (median), and at the worst place that
        both cameras see."""
        used = self.source[self.fitted.kept]
        near = float(np.median(self.fitted.unsure(used, self.source)))
        grid = overlap_of(self.fitted.matrix, self.size, self.view.size)
        far = self.fitted.unsure(grid, self.source) if len(grid) else np.array([near])
        return near, max(near, float(far.max()))

    def lines(self) -> list[str]:
        """For a person."""
        kept = int(self.fitted.kept.sum())
        left = len(self.source) - kept
        near, far = self.unsure
        m = self.modality
        return [
            f"{m}: {kept} of {len(self.source)} pairs agree: off by {self.median:.2f} pixels "
            f"(median), {self.p95:.2f} (95 %), {float(self.off.max()):.2f} at most"
            + (f"; {left} left out, off by more than {self.fitted.limit:.1f}" if left else ""),
            f"{m}: unsure by {near:.1f} pixels where the pairs are, by {far:.1f} at the worst "
            "place that both see",
        ]

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        near, far = self.unsure
        rows = zip(
            self.numbers,
            self.source,
            self.target,
            self.fitted.errors,
            self.fitted.kept,
            strict=True,
        )
        return {
            "modality": self.modality,
            "homography": self.view.homography,
            "size": list(self.view.size),
            "pairs": len(self.source),
            "used": int(self.fitted.kept.sum()),
            "limit": self.fitted.limit,
            "median": self.median,
            "p95": self.p95,
            "unsure": near,
            "unsure_at_worst": far,
            "points": [
                {
                    "number": number,
                    REFERENCE: [float(x) for x in source],
                    self.modality: [float(x) for x in target],
                    "off": float(off) if np.isfinite(off) else None,
                    "used": bool(used),
                }
                for number, source, target, off, used in rows
            ],
        }


def align(
    points: PointFile, within: float | None, share: float = WITHIN
) -> dict[Modality, Aligned]:
    """Fit a homography to the points of each camera.

    Args:
        points: that were given or found.
        within: pixels by which a pair may be off; None for `share` of the frame.
        share: of the longer side of the frame.

    Raises:
        NodeError: there are too few points for a camera, they do not agree, or what comes out
            cannot be a homography of cameras; names the modality.
    """
    if not points.targets:
        raise NodeError(f"sizes: name another camera beside {REFERENCE}")
    found = {}
    for m in points.targets:
        source, target, numbers = points.pairs(m)
        limit = share * max(points.sizes[m]) if within is None else within
        try:
            fitted = fit(source, target, limit)
            view = _view(points.sizes[m], fitted)
            check_views({REFERENCE: View(size=points.sizes[REFERENCE]), m: view})
        except NodeError as error:
            told = str(error)
            raise NodeError(told if told.startswith(m) else f"{m}: {told}") from None
        # As it is written, so that what is said of it is true of the file.
        matrix = np.array(view.homography)
        off = errors(matrix, source, target)
        exact = Fitted(matrix, fitted.kept, off, fitted.limit)
        found[m] = Aligned(m, view, points.sizes[REFERENCE], exact, source, target, numbers)
    return found


def views_of(points: PointFile, found: Mapping[Modality, Aligned]) -> dict[Modality, View]:
    """What a calibration file says."""
    reference = View(size=points.sizes[REFERENCE])
    return {REFERENCE: reference} | {m: each.view for m, each in found.items()}


def _view(size: Size, fitted: Fitted) -> View:
    a, b, c = (tuple(float(f"{x:.{DIGITS}g}") for x in row) for row in fitted.matrix.tolist())
    rows = (a[0], a[1], a[2]), (b[0], b[1], b[2]), (c[0], c[1], c[2])
    return View(size=size, homography=rows)
