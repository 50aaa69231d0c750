"""What readers and commands start from, from a data set to scores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.command import tiny_recipe
from tests.paths import ROOT, SAMPLES

STOCK = "stock"
"""The folder of it, in the one that `make_stock` is given."""

RECIPE = tiny_recipe(epochs=2, validation=2, evaluate_every=1, pretrained=False, workers=0)

SMALL = ("--height", "32", "--width", "16")


def make_stock(base: Path) -> None:
    """Make all of it, by the commands that a person would use, in processes of their own."""
    folder = base / STOCK
    folder.mkdir(parents=True)
    (folder / "tiny.toml").write_text(RECIPE)
    commands = [["synth", "data", "--identities", "12", "--shots", "2", *SMALL]]
    for name, seed in (("old", "0"), ("new", "1")):
        file = f"{name}.safetensors"
        commands.append(["init", file, "--config", "tiny.toml", "--seed", seed])
        commands.append(["export", file, "--out", f"{name}.denet"])
    commands += [
        ["gallery", "enrol", "people.db", str(SAMPLES), "--bundle", "old.denet"],
        ["embed", "old.denet", str(SAMPLES), "--every-state", "--out", "e.npz"],
        ["gallery", "calibrate", "old.denet", "data", "--out", "scores.json"],
    ]
    for command in commands:
        subprocess.run(
            [sys.executable, "-m", "cli", *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )


def put(base: Path, folder: Path, wanted: dict[str, str]) -> None:
    """Copies of things of the stock in `folder`: their new names, and their names in the stock."""
    for name, source in wanted.items():
        origin = base / STOCK / source
        if origin.is_dir():
            shutil.copytree(origin, folder / name, copy_function=os.link)
        else:
            shutil.copy(origin, folder / name)
