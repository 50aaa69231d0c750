"""What readers and commands start from, from a data set to scores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cli
from tests.command import tiny_recipe
from tests.paths import ROOT, SAMPLES

STOCK = "stock"
"""The folder of it, in the one that `make_stock` is given."""

RECIPE = tiny_recipe(epochs=2, validation=2, evaluate_every=1, pretrained=False, workers=0)

SMALL = ("--height", "32", "--width", "16")


def make_stock(base: Path, *models: str) -> None:
    """Make it, by the commands that a person would use, in one process of its own: importing what
    they need takes longer than they do.

    Args:
        base: the folder that gets the stock.
        models: those that are made beside "old", such as "new".
    """
    subprocess.run(
        [sys.executable, "-m", __name__, str(base), *models],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _make(folder: Path, models: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    os.chdir(folder)
    Path("tiny.toml").write_text(RECIPE)
    run("synth", "data", "--identities", "12", "--shots", "2", *SMALL)
    for seed, name in enumerate(("old", *models)):
        run("init", f"{name}.safetensors", "--config", "tiny.toml", "--seed", str(seed))
        run("export", f"{name}.safetensors", "--out", f"{name}.denet")
    run("gallery", "enrol", "people.db", str(SAMPLES), "--bundle", "old.denet")
    run("embed", "old.denet", str(SAMPLES), "--every-state", "--out", "e.npz")
    shutil.copytree("old.denet", "calibrated.denet")
    run("calibrate", "calibrated.denet", "data", "--precision", "fp16", "--samples", "8")
    shutil.copy("calibrated.denet/calibration.json", ".")
    run("gallery", "calibrate", "old.denet", "data", "--out", "scores.json")


def run(*command: str) -> None:
    """Run a command of denet in this process.

    Raises:
        RuntimeError: it fails.
    """
    try:
        cli.app(command)
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{' '.join(command)}: ends with {ended.code}") from None


def put(base: Path, folder: Path, wanted: dict[str, str]) -> None:
    """Copies of things of the stock in `folder`: their new names, and their names in the stock."""
    for name, source in wanted.items():
        origin = base / STOCK / source
        if origin.is_dir():
            shutil.copytree(origin, folder / name, copy_function=os.link)
        else:
            shutil.copy(origin, folder / name)


if __name__ == "__main__":
    _make(Path(sys.argv[1]) / STOCK, sys.argv[2:])
