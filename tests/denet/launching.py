"""Processes that train together, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.command import tiny_recipe


def toml(epochs: int = 1) -> str:
    """A recipe with so many epochs of the branches, and then one of the graph."""
    return tiny_recipe(
        epochs=epochs,
        graph_epochs=1,
        optimizer="sgd",
        lr=1e-3,
        dropout=0.5,
        validation=2,
        evaluate_every=1,
        workers=1,
    )


def quiet_environment(**more: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | more


def several(
    root: Path,
    out: Path,
    recipe: Path,
    *,
    within: Sequence[str] = (),
    launch: Sequence[str] = ("--nproc-per-node", "2"),
    **environment: str,
) -> subprocess.Popen[str]:
    """Start a training of processes that exchange gradients, or go on with it.

    Args:
        root: of the data set.
        out: of the run.
        recipe: its file.
        within: a command that starts others in a place of its own.
        launch: what torchrun is told of the processes.
        environment: more variables.
    """
    launcher = [*within, sys.executable, "-m", "torch.distributed.run", *launch, "-m", "cli"]
    arguments = ["train", root, "--out", out, "--preset", "small", "--config", recipe, "--resume"]
    return subprocess.Popen(
        [*launcher, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=quiet_environment() | environment,
        start_new_session=True,
    )
