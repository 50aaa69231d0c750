"""A moment as a picture: what each sensor shows, its verdict, and who is where."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from denet.graph import Modality
from denet.pixels import FULL, Range
from runtime.node.boxes.box import Box
from runtime.node.boxes.homography import Views
from runtime.node.recorded.following import Passed
from runtime.node.sources import Triplet
from runtime.node.sources.frame import Frame
from runtime.preprocess import to_pillow

HEIGHT = 480
"""Pixels of a frame's height in the picture, at most."""

BAND = 26
"""Pixels of the height of a line of text."""

LETTERS = 15
"""Pixels of their height."""

WELL, ILL, GROUND, TEXT = (40, 90, 60), (150, 40, 40), (24, 24, 28), (235, 235, 235)

GOLDEN = 0.618
"""Of the circle of hues, from one track to the next: neighbours differ most."""


@dataclass(frozen=True)
class Shown:
    """Somebody in a moment: where, and what is written there."""

    box: Box
    number: int
    label: str


@dataclass(frozen=True)
class FilmLayout:
    """What all pictures of a recording have in common.

    Attributes:
        sizes: (width, height) of each modality's frames, in the order in which they are shown.
        views: where a place of the RGB frame is in others; None if all show the same.
        ranges: values of black and white of 16-bit pixels.
    """

    sizes: Mapping[Modality, tuple[int, int]]
    views: Views | None
    ranges: Mapping[Modality, Range]

    @property
    def panels(self) -> dict[Modality, tuple[int, int]]:
        """(width, height) of each sensor's frame in the picture: even, as video wants it."""
        tall = min(HEIGHT, max(height for _, height in self.sizes.values())) // 2 * 2
        return {m: (max(2, round(w * tall / h) // 2 * 2), tall) for m, (w, h) in self.sizes.items()}

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        panels = self.panels.values()
        return sum(width for width, _ in panels), 2 * BAND + max(height for _, height in panels)


def draw(
    layout: FilmLayout, triplet: Triplet, passed: Passed, people: Sequence[Shown]
) -> Image.Image:
    """The picture of a moment, RGB.

    Args:
        layout: of the recording.
        triplet: the frames.
        passed: time, state and faults.
        people: who is where, boxes in the RGB frame.
    """
    picture = Image.new("RGB", layout.size, GROUND)
    drawing, font = ImageDraw.Draw(picture), _font()
    minutes, seconds = divmod(passed.time, 60)
    head = f"{int(minutes):02}:{seconds:06.3f}   {passed.state or 'nothing healthy'}"
    drawing.text((6, 5), head, TEXT, font)
    left = 0
    for m, (width, height) in layout.panels.items():
        fault = passed.faults.get(m)
        drawing.rectangle((left, BAND, left + width - 1, 2 * BAND - 1), ILL if fault else WELL)
        drawing.text((left + 6, BAND + 5), f"{m}: {fault or 'healthy'}", TEXT, font)
        frame = triplet.frames.get(m)
        if isinstance(frame, Frame):
            panel = to_pillow(frame.image, layout.ranges.get(m, FULL)).convert("RGB")
            panel = panel.resize((width, height), Image.Resampling.BILINEAR)
            _draw_people(panel, layout, m, people, font)
            picture.paste(panel, (left, 2 * BAND))
        left += width
    return picture


def _draw_people(
    panel: Image.Image,
    layout: FilmLayout,
    modality: Modality,
    people: Sequence[Shown],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    drawing = ImageDraw.Draw(panel)
    view = None if layout.views is None else layout.views.get(modality)
    wide, tall = layout.sizes[modality]
    across, down = panel.width / wide, panel.height / tall
    for each in people:
        box = each.box if view is None else view.place(each.box)
        left, right = sorted((box.left * across, box.right * across))
        top, bottom = sorted((box.top * down, box.bottom * down))
        if right <= 0 or bottom <= 0 or left >= panel.width or top >= panel.height:
            continue
        colour = colour_of(each.number)
        drawing.rectangle((left, top, right, bottom), outline=colour, width=2)
        label = printable_label(each.label)
        wide_label = drawing.textlength(label, font) + 6
        start = max(0.0, min(left, panel.width - wide_label))
        above = top - LETTERS - 5 if top > LETTERS + 5 else top
        drawing.rectangle((start, above, start + wide_label, above + LETTERS + 5), colour)
        drawing.text((start + 3, above + 1), label, (0, 0, 0), font)


def colour_of(number: int) -> tuple[int, int, int]:
    """Of a track, the same in all pictures."""
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1.0, 0.6, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def printable_label(label: str) -> str:
    """A label in letters that the font has: others are shown as question marks."""
    return "".join(c if c.isprintable() and ord(c) < 0x250 else "?" for c in label)[:40]


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    try:
        return ImageFont.load_default(LETTERS)
    except TypeError:  # Pillow before 10.1, which has one of a fixed size
        return ImageFont.load_default()
