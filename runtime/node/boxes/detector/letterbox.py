"""A frame as the input of a detector, and boxes back from there into the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.node.boxes.overlap import Boxes

Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class PictureForm:
    """How a family of detectors wants its picture.

    Attributes:
        fit: "corner" and "centre" keep the ratio of the sides and fill up what is left at the right
            and bottom, or on both sides; "stretch" does not keep it.
        blue_first: channels are blue, green, red.
        scale: that values of 0 to 255 are multiplied by.
        mean, std: of the channels, subtracted and divided by after that.
    """

    fit: Literal["corner", "centre", "stretch"]
    blue_first: bool = False
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


FILL = 114
"""Grey of what is filled up: that of YOLOv5 and all after it, YOLOX included."""


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in the input of a network.

    Attributes:
        frame: its size.
        resized: its size there.
        corner: (left, top) of it there.
    """

    frame: Size
    resized: Size
    corner: Size

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) of the input in pixels of the frame, cut to the frame: some may be empty."""
        zoom = np.array(self.frame) / np.array(self.resized)
        moved = (boxes.reshape(-1, 2) - np.array(self.corner)) * zoom
        cut: Boxes = np.clip(moved, 0, np.array(self.frame)).reshape(-1, 4)
        return cut


def place(frame: Size, size: Size, form: PictureForm) -> Placement:
    """Where a frame of size `frame` lies in an input of `size`."""
    if form.fit == "stretch":
        return Placement(frame, size, (0, 0))
    zoom = min(size[0] / frame[0], size[1] / frame[1])
    width, height = (max(round(side * zoom), 1) for side in frame)
    corner = (0, 0)
    if form.fit == "centre":
        corner = ((size[0] - width) // 2, (size[1] - height) // 2)
    return Placement(frame, (width, height), corner)


def letterbox(
    image: Image.Image, size: Size, form: PictureForm
) -> tuple[NDArray[np.float32], Placement]:
    """The input (3, height, width) for an image, and where the image lies in it.

    Args:
        image: of mode "L" or "RGB"; one channel becomes three equal ones.
        size: of the input.
        form: of the network.
    """
    placement = place(image.size, size, form)
    (left, top), (width, height) = placement.corner, placement.resized
    small = np.asarray(image.resize(placement.resized, Image.Resampling.BILINEAR))
    channels = np.atleast_3d(small).transpose(2, 0, 1)
    if form.blue_first:
        channels = channels[::-1]
    picture = np.full((3, size[1], size[0]), FILL, np.float32)
    picture[:, top : top + height, left : left + width] = channels
    picture *= np.float32(form.scale)
    picture -= np.array(form.mean, np.float32)[:, None, None]
    picture /= np.array(form.std, np.float32)[:, None, None]
    return picture, placement
