"""Draws the sample triplets beside this file: `python docs/samples/draw.py`.

Six drawn pedestrians in visible light, near infrared and thermal infrared, in RGBNT201's layout.
They are for trying the tool: they show how the same person looks different in each modality,
and stand in for no data set.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, SCALE = 64, 128, 4
HERE = Path(__file__).parent

Colour = tuple[int, int, int]


def grey(level: float) -> Colour:
    value = int(np.clip(level, 0, 255))
    return value, value, value


def hue(random: np.random.Generator) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(random.random(), random.uniform(0.3, 0.9), random.uniform(0.3, 1))
    return int(255 * r), int(255 * g), int(255 * b)


def person(random: np.random.Generator) -> dict[str, Image.Image]:
    """One person in three modalities: the same shape, other values for each part of it."""
    shoulder, hip = random.uniform(13, 18), random.uniform(9, 13)
    lean, step = random.uniform(-3, 3), random.uniform(2, 8)
    head, bag = random.uniform(6, 8), random.random() < 0.5
    # What is seen of each part: its colour, its reflectance in near infrared, its heat.
    looks: dict[str, dict[str, Colour]] = {
        "RGB": {
            "ground": grey(random.uniform(60, 170)),
            "skin": (205, 160, 130),
            "hair": (50, 38, 30),
            "top": hue(random),
            "legs": hue(random),
            "bag": hue(random),
        },
        "NI": {
            "ground": grey(random.uniform(60, 130)),
            "skin": grey(190),
            "hair": grey(80),
            "top": grey(random.uniform(60, 230)),
            "legs": grey(random.uniform(60, 230)),
            "bag": grey(random.uniform(40, 200)),
        },
        "TI": {
            "ground": grey(random.uniform(30, 60)),
            "skin": grey(235),
            "hair": grey(150),
            "top": grey(random.uniform(110, 190)),
            "legs": grey(random.uniform(100, 170)),
            "bag": grey(random.uniform(50, 90)),
        },
    }
    images = {}
    for modality, look in looks.items():
        image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), look["ground"])
        pen = ImageDraw.Draw(image)

        def at(*points: float) -> list[float]:
            return [value * SCALE for value in points]

        x = WIDTH / 2 + lean
        for side in (-1, 1):
            pen.line(
                at(x + side * hip / 2, 72, x + side * step, 118), look["legs"], int(8.5 * SCALE)
            )
            pen.line(
                at(x + side * shoulder, 34, x + side * (shoulder + 3), 66), look["top"], 6 * SCALE
            )
            pen.ellipse(
                at(x + side * (shoulder + 3) - 3, 64, x + side * (shoulder + 3) + 3, 70),
                look["skin"],
            )
        pen.polygon(at(x - shoulder, 30, x + shoulder, 30, x + hip, 76, x - hip, 76), look["top"])
        if bag:
            pen.rectangle(at(x + shoulder - 4, 40, x + shoulder + 5, 62), look["bag"])
        pen.ellipse(at(x - head, 10, x + head, 10 + 2.4 * head), look["skin"])
        pen.chord(at(x - head, 10, x + head, 10 + 2.4 * head), 180, 360, look["hair"])
        image = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        if modality == "TI":
            image = image.filter(ImageFilter.GaussianBlur(1.2))
        pixels = np.asarray(image) + random.normal(0, 5, (HEIGHT, WIDTH, 1))
        images[modality] = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return images


def main() -> None:
    random = np.random.default_rng(0)
    for number in range(1, 7):
        for modality, image in person(random).items():
            folder = HERE / modality
            folder.mkdir(exist_ok=True)
            stored = image if modality == "RGB" else image.convert("L")
            stored.save(folder / f"{number:06}_cam1_0_00.jpg", quality=85)


if __name__ == "__main__":
    main()
