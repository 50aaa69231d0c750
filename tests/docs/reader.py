"""What a reader of the documentation has in their folder before they begin."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from runtime import Bundle
from tests.docs.blocks import blocks
from tests.docs.sizes import TINY, smaller
from tests.paths import DOCS, ROOT, SAMPLES

FOLDERS = ("RGB", "NI", "TI")


def furnish(folder: Path, bundle: Path, calibrated: Bundle, checkpoint: Path, data: Path) -> None:
    """Put the things there that the documents name and do not make.

    Args:
        folder: the reader's.
        bundle: is their `model.denet`, and carries scores.
        calibrated: the same with FP16 and INT8.
        checkpoint: that the bundle is of.
        data: is their data set, `DATA`.
    """
    for name in ("model.denet", "model-2.denet", "best.denet"):
        copy(bundle, folder / name)
    for name in ("ANOTHER", "r50.denet"):
        copy(calibrated.root, folder / name)
    for name in ("best.safetensors", "untrained.safetensors", "MODEL"):
        shutil.copy(checkpoint, folder / name)
    copy(data, folder / "DATA")
    copy(data / "train", folder / "IMAGES")
    copy(SAMPLES, folder / "images")
    for name in ("measurements", "docs"):  # of the checkout that they are in
        copy(ROOT / name, folder / name)
    shots = sorted((SAMPLES / "RGB").iterdir())
    for of, short in zip(FOLDERS, ("a.jpg", "a_n.png", "a_t.png"), strict=True):
        Image.open(SAMPLES / of / shots[0].name).save(folder / short)
        for person, shot in (("people/{}/alice_1.jpg", 0), ("people/{}/bob_1.jpg", 1)):
            put(SAMPLES / of / shots[shot].name, folder / person.format(of))
        put(SAMPLES / of / shots[2].name, folder / "seen" / of / "1.jpg")
    for of, own in zip(FOLDERS, ("colour", "near", "flir"), strict=True):
        for i, name in enumerate(f"{p}_c{c}_{f}" for p in "abcdef" for c in (1, 2) for f in (8, 9)):
            put(SAMPLES / of / shots[i % 3].name, folder / "own" / own / f"{name}.jpg")
    (folder / "tiny.toml").write_text(TINY)
    (folder / "node.toml").write_text(smaller((DOCS / "node.toml").read_text()))
    for block in blocks(DOCS / "node.md"):
        if block.file:
            (folder / block.file).write_text(block.text)
    record(folder / "recordings" / "night", 8)


def record(folder: Path, moments: int) -> None:
    """Frames of three sensors, of the sizes that `cameras.toml` has, with a person in each."""
    random = np.random.default_rng(0)
    sizes = {"RGB": (1080, 1920), "NI": (1080, 1920), "TI": (512, 640)}
    for of, size in sizes.items():
        (folder / of).mkdir(parents=True)
        for moment in range(moments):
            frame = random.integers(60, 200, size, np.uint8)
            mode = "RGB" if of == "RGB" else "L"
            path = folder / of / f"{moment:06}.jpg"
            Image.fromarray(frame).convert(mode).save(path, quality=50)
    boxes = [f'{{"name": "{m:06}", "boxes": [[900, 300, 980, 500]]}}\n' for m in range(moments)]
    folder.with_suffix(".jsonl").write_text("".join(boxes))


def copy(what: Path, to: Path) -> None:
    # `make experiments` leaves gigabytes in a checkout, which no document reads.
    shutil.copytree(what, to, ignore=shutil.ignore_patterns("__pycache__", "experiments"))


def put(what: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(what, to)
