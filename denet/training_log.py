"""The log of a run, read back: `log.csv` of `denet.run`."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from pathlib import Path

from denet.reading import read_text, reading
from denet.run import BEST, LAST, LOG, RECIPE, EpochReport, Run, TrainingError


@dataclass(frozen=True)
class TrainingLog:
    """What a run did.

    Attributes:
        history: its epochs.
        branch_epochs: of these, the first so many trained the branches alone; 0 where everything
            was trained at once.
    """

    history: tuple[EpochReport, ...]
    branch_epochs: int


def read_log(run: Path) -> TrainingLog | None:
    """The log of the run in folder `run`; None where none is begun, or no epoch is finished.

    Raises:
        TrainingError: it cannot be read.
    """
    origin = Run(run).origin()
    path = run / LOG
    if origin is None or not path.exists():
        return None
    text = read_text(path, TrainingError)
    with reading(path, TrainingError, "not the log of a run"):
        rows = list(csv.DictReader(io.StringIO(text)))
        history = tuple(_report(row) for row in rows)
    config, pairs = origin.recipe.train, origin.recipe.model.graph.pairs
    staged = config.graph_epochs and pairs
    return TrainingLog(history, config.epochs if staged else 0) if history else None


def log_of_checkpoint(checkpoint: Path) -> TrainingLog | None:
    """The log of the run that `checkpoint` lies in; None where it is alone.

    Raises:
        TrainingError: the log cannot be read.
    """
    if checkpoint.name not in (BEST, LAST) or not (checkpoint.parent / RECIPE).exists():
        return None
    return read_log(checkpoint.parent)


def _report(row: dict[str, str]) -> EpochReport:
    values = {f.name: float(row[f.name]) for f in fields(EpochReport) if f.name != "epoch"}
    return EpochReport(epoch=int(row["epoch"]), **values)
