"""`denet train`: a run that can be interrupted and resumed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from denet.console import progress, reported, say, say_aside
from denet.errors import DenetError
from denet.options import ConfigOpt, DataArg, ModalitiesOpt, PresetOpt, WeightsOpt


@reported(extra="train")
def train(
    root: DataArg,
    to: Annotated[Path, typer.Option("--out", help="The directory of the run.")],
    preset: PresetOpt = None,
    config: ConfigOpt = None,
    weights: WeightsOpt = None,
    modalities: ModalitiesOpt = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run at --out, with its own recipe.")
    ] = False,
) -> None:
    """Train a DENet; a run can be interrupted and resumed."""
    from denet.data.records import DataError, open_data
    from denet.interrupt import Interrupted, interruptible

    first = os.environ.get("RANK", "0") == "0"  # of several processes only the first speaks
    where = "before the first epoch"
    try:
        with interruptible() as interruption:
            from denet.recipe import read_recipe
            from denet.train import TrainProgress
            from denet.train import train as run

            check_curves(to)
            given = (preset, config, weights, modalities)
            own = resume and all(each is None for each in given)
            with progress("training", shown=first) as notify:

                def show(done: TrainProgress) -> None:
                    nonlocal where
                    interruption.check()
                    where = f"in epoch {done.epoch}"
                    before = (done.epoch - 1) * done.batches
                    notify(done.describe(), before + done.batch, done.epochs * done.batches)

                best = run(
                    None if own else read_recipe(*given),
                    open_data(root),
                    to,
                    resume=resume,
                    on_batch=show,
                    on_epoch=lambda report: say_aside(report.describe()),
                    on_weights=say_aside,
                    on_gaps=say_aside,
                )
    except Interrupted as stop:
        if first:
            say_aside(f"interrupted {where}; {how_to_continue(root, to)}")
        raise typer.Exit(stop.exit_code) from None
    except DenetError as error:
        if first or isinstance(error, DataError):
            raise
        raise typer.Exit(2) from None  # the first process has the same error
    if first:
        say_aside(f"{draw_curves_of(to)}: how it went")
        say(f"{best}: the best checkpoint")


def check_curves(run: Path) -> None:
    """See that nothing of somebody else's is in the place of the picture, before the work."""
    from denet.figures.curves import CURVES
    from denet.figures.files import FIGURE, FigureError
    from denet.outputs import check_kept

    check_kept(run / f"{CURVES}.png", FIGURE, FigureError, replace=True)


def draw_curves_of(run: Path) -> Path:
    """Draw the curves of a finished run into its folder; the picture's path."""
    from denet.figures.curves import draw_curves
    from denet.figures.files import write_figures
    from denet.run import TrainingError
    from denet.training_log import read_log

    log = read_log(run)
    if log is None:
        raise TrainingError(f"{run}: the log of the run is gone: nothing can be drawn of it")
    return write_figures(run, [draw_curves(log.history, log.branch_epochs)])[0]


def how_to_continue(root: Path, to: Path) -> str:
    """What to type after an interruption of training."""
    from denet.run import RECIPE

    if not (to / RECIPE).exists():
        return "nothing was begun: start it again"
    command = ["denet", "train", str(root), "--out", str(to), "--resume"]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        command = ["torchrun", "...", *command]
    return f"continue with: {shlex.join(command)}"
