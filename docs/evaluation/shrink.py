"""Small copies of the figures that docs/evaluation.md shows.

python docs/evaluation/shrink.py FIGURES, the folder that `denet eval --figures` wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent

SHOWN = ("ranking", "activation")
"""The figures, by name."""


def main(figures: Path) -> None:
    for name in SHOWN:
        whole = Image.open(figures / f"{name}.png").convert("RGB")
        # Half of the dots, and 256 colours: the sensors' noise does not compress.
        small = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.BOX)
        quantized = small.quantize(256, dither=Image.Dither.NONE)
        quantized.save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
