"""A figure that is drawn."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from denet.figures.style import DOTS


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn.

    Attributes:
        name: of its file, without the extension.
        caption: what is seen, in a sentence or two.
        png: the file's content.
    """

    name: str
    caption: str
    png: bytes

    @property
    def width(self) -> int:
        """Of the figure on a page, in pixels."""
        return Image.open(io.BytesIO(self.png)).width // DOTS
