"""Draws the pictures of docs/synthetic.md beside this file: `python docs/synthetic/draw.py`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from PIL import Image

from denet.data.synthetic import SyntheticConfig, World
from denet.graph import RGB_NIR_TIR, Modality

HERE = Path(__file__).parent
CONFIG = SyntheticConfig()
ZOOM, GAP = 2, 6

Triplet = dict[Modality, Image.Image]


def table(groups: Sequence[Sequence[Triplet]], path: Path) -> None:
    """Groups of triplets side by side, a row for each modality."""
    wide, tall = ZOOM * CONFIG.width, ZOOM * CONFIG.height
    width = sum(len(group) * wide for group in groups) + GAP * (len(groups) - 1)
    sheet = Image.new("RGB", (width, tall * len(RGB_NIR_TIR.modalities) + GAP * 2), "white")
    left = 0
    for group in groups:
        for triplet in group:
            for row, modality in enumerate(RGB_NIR_TIR.modalities):
                image = triplet[modality].resize((wide, tall), Image.Resampling.NEAREST)
                sheet.paste(image, (left, row * (tall + GAP)))
            left += wide
        left += GAP
    # The sensors' noise does not compress; 256 colours, 48 of them grey, keep the file small.
    coloured = sheet.crop((0, 0, width, tall)).quantize(208).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [*coloured[: 3 * 208], *(round(n * 255 / 47) for n in range(48) for _ in "rgb")]
    )
    sheet.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    world = World(CONFIG)

    def triplet(identity: int, camera: int, shot: int) -> Triplet:
        return world.render(world.person(identity), camera, world.shot(identity, camera, shot))

    def first(identity: int, camera: int, night: bool) -> int:
        return next(n for n in count() if world.shot(identity, camera, n).night == night)

    people = [[triplet(identity, camera, 0) for camera in (0, 2)] for identity in range(1, 7)]
    table(people, HERE / "identities.png")
    cameras = [
        [triplet(8, camera, first(8, camera, night)) for night in (False, True)]
        for camera in range(CONFIG.cameras)
    ]
    table(cameras, HERE / "cameras.png")


if __name__ == "__main__":
    main()
