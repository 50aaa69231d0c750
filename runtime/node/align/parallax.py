"""What a homography costs where people are not at the distance at which it was measured.

Two cameras that look the same way, `baseline` apart, see a point at distance Z displaced by
focal x baseline / Z pixels against one that is far away. A homography that is right at Z0 is off by
the difference:

    e(Z) = focal * baseline * |1 / Z - 1 / Z0|
"""

from __future__ import annotations

import math
import re

from denet.graph import Modality
from runtime.node.errors import NodeError

STOPS = (0.5, 0.75, 1.0, 1.5, 2.0, 4.0, math.inf)
"""Times the distance of the points, at which it is told."""


def focal_pixels(width: int, angle: float) -> float:
    """Focal length in pixels of a camera of `width` pixels and a horizontal angle of view in
    degrees."""
    return width / 2 / math.tan(math.radians(angle) / 2)


def parallax(focal: float, baseline: float, measured: float, distance: float) -> float:
    """Pixels by which a homography is off at a distance.

    Args:
        focal: length of the other camera in pixels.
        baseline: metres between the cameras.
        measured: metres from them to the points that it was measured with.
        distance: metres from them to who is seen.
    """
    return focal * baseline * abs(1 / distance - 1 / measured)


def parse_rig(text: str) -> tuple[Modality, float, float]:
    """A modality, its metres from the RGB camera, and its horizontal angle of view in degrees, of
    "tir=0.12,45".

    Raises:
        NodeError: it is none.
    """
    found = re.fullmatch(r"(\w+)=([0-9.]+),([0-9.]+)", text.strip())
    try:
        if found is None:
            raise ValueError
        modality, baseline, angle = found[1], float(found[2]), float(found[3])
    except ValueError:
        raise NodeError(
            f"--rig {text!r}: write MODALITY=METRES,DEGREES: its distance from the RGB camera and "
            "its horizontal angle of view, as tir=0.12,45"
        ) from None
    if not 0 < angle < 180:
        raise NodeError(
            f"--rig {text!r}: an angle of view of {angle:g} degrees: above 0, below 180"
        )
    return modality, baseline, angle


def parallax_line(width: int, baseline: float, angle: float, measured: float) -> str:
    """For a person: by how much it is off at several distances."""
    focal = focal_pixels(width, angle)
    parts = [
        f"{parallax(focal, baseline, measured, stop * measured):.1f} at "
        + ("any far distance" if math.isinf(stop) else f"{stop * measured:g} m")
        for stop in STOPS
    ]
    return f"off by parallax, in pixels: {', '.join(parts)}"
