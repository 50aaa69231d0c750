"""Pictures to see whether cameras lie on each other: one warped onto the other, with the points."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from denet.graph import Modality
from denet.marks import SOFTWARE, OutputKind, is_picture
from runtime.node.align.aligned import Aligned
from runtime.node.boxes.homography import REFERENCE, project
from runtime.node.sources.frame import Pixels
from runtime.node.status.thumbnail import PERCENTILES

SIDE = 1600
"""Pixels of the longer side of one part."""

USED, LEFT_OUT, EDGES = (60, 220, 90), (240, 60, 60), (255, 150, 0)

STRONG = 85
"""Per cent of the pixels that are no edges."""

OVERLAY = OutputKind(".png", "an overlay is", "a picture of denet", is_picture)


def overlay(frames: Mapping[Modality, Pixels], found: Mapping[Modality, Aligned]) -> bytes:
    """A PNG: for each camera a row of two pictures in the RGB frame. Left, both are blended; right,
    the edges of the other camera are drawn over RGB, with the points: a ring where one is in the
    RGB frame, and a line to where the other camera's lands; green if used, red if left out.

    Args:
        frames: of one moment, by modality, that of RGB and of each camera.
        found: the cameras.
    """
    reference = picture_of(frames[REFERENCE]).convert("RGB")
    rows = [
        _row(reference, picture_of(frames[m]), each) for m, each in found.items() if m in frames
    ]
    width, height = rows[0].size
    sheet = Image.new("RGB", (width, height * len(rows)))
    for i, row in enumerate(rows):
        sheet.paste(row, (0, i * height))
    info = PngInfo()
    info.add_text(*SOFTWARE)
    content = BytesIO()
    sheet.save(content, "PNG", pnginfo=info)
    return content.getvalue()


def warped(other: Image.Image, matrix: NDArray[np.float64], size: tuple[int, int]) -> Image.Image:
    """A picture of another camera as the RGB camera would see it; black where it shows nothing.

    Args:
        other: of the other camera.
        matrix: 3 x 3, from pixels of the RGB frame to pixels of the other.
        size: (width, height) of the RGB frame.
    """
    data = tuple((matrix / matrix[2, 2]).ravel()[:8])
    return other.transform(
        size, Image.Transform.PERSPECTIVE, data, resample=Image.Resampling.BILINEAR
    )


def _row(reference: Image.Image, other: Image.Image, found: Aligned) -> Image.Image:
    matrix = found.fitted.matrix
    on_top = warped(other.convert("RGB"), matrix, reference.size)
    seen = warped(Image.new("L", other.size, 255), matrix, reference.size)
    blended = Image.composite(Image.blend(reference, on_top, 0.5), reference, seen)
    lines = Image.fromarray(_edges(np.asarray(on_top.convert("L"), np.float32)))
    inside = Image.fromarray(np.minimum(np.asarray(lines), np.asarray(seen)))
    grey = Image.blend(reference.convert("L").convert("RGB"), Image.new("RGB", reference.size), 0.3)
    drawn = Image.composite(Image.new("RGB", reference.size, EDGES), grey, inside)
    scale = min(1.0, SIDE / max(reference.size))
    size = round(reference.width * scale), round(reference.height * scale)
    parts = [_with_points(part.resize(size), found, scale) for part in (blended, drawn)]
    row = Image.new("RGB", (2 * size[0], size[1]))
    row.paste(parts[0], (0, 0))
    row.paste(parts[1], (size[0], 0))
    return row


def _with_points(picture: Image.Image, found: Aligned, scale: float) -> Image.Image:
    drawing = ImageDraw.Draw(picture)
    back = np.linalg.inv(found.fitted.matrix).astype(np.float64)
    landed = project(back, found.target, front=float(np.sign(np.linalg.det(back) or 1.0)))
    radius = max(3.0, picture.width / 250)
    for (x, y), (u, v), used in zip(
        scale * found.source, scale * landed, found.fitted.kept, strict=True
    ):
        colour = USED if used else LEFT_OUT
        drawing.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
        if np.isfinite(u) and np.isfinite(v):
            drawing.line((x, y, u, v), fill=colour, width=2)
    return picture


def _edges(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Where a picture changes most."""
    rows, columns = np.gradient(grey)
    strength = np.hypot(rows, columns)
    least = max(float(np.percentile(strength, STRONG)), 1.0)
    share = np.clip((strength - least) / (2 * least), 0, 1)
    edges: NDArray[np.uint8] = (255 * share).astype(np.uint8)
    return edges


def picture_of(image: Pixels) -> Image.Image:
    """Whatever a sensor gives, as a person can look at it."""
    if image.dtype != np.uint8:
        low, high = np.percentile(image, PERCENTILES)
        image = ((image - low) * (255.0 / max(high - low, 1.0))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(image))
