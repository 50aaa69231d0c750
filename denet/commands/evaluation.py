"""`denet eval` and `denet report`, of models that somebody opens: a bundle needs the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import Notify, out, print_json, progress, say, say_aside
from denet.options import BatchOpt, WorkersOpt

if TYPE_CHECKING:
    from denet.examine import Examination
    from denet.figures import Drawing
    from denet.subject import Subject

SeedOpt = Annotated[
    int,
    typer.Option(min=0, help="Seed of what is missing at a rate, and of what figures show."),
]


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured and drawn."""

    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Measure each query state against each gallery state, too."),
    ] = False
    missing_rate: Annotated[
        str | None,
        typer.Option(help="Missing rates to measure, too, as in the paper: 0:1:0.1 or 0.5."),
    ] = None
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw figures, too, as PNG in this folder.")
    ] = None
    recovery: Annotated[
        bool, typer.Option("--recovery", help="Compare recovered features with real ones, too.")
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help="Draw into a folder that is not empty.")
    ] = False
    seed: SeedOpt = 0
    batch: BatchOpt = 32
    workers: WorkersOpt = 0


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows, and where it is written."""

    to: Annotated[Path, typer.Option("--out", help="The page to write (.html).")]
    figures_of: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Model whose figures it shows (default: last checkpoint)."
        ),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Replace a report at --out.")] = False
    seed: SeedOpt = 0
    batch: BatchOpt = 32
    workers: WorkersOpt = 0


def evaluate(
    model: Path,
    root: Path,
    asked: EvaluationOptions,
    open_subject: Callable[[], Subject],
    *,
    as_json: bool,
) -> None:
    """Measure one model, and say how it did.

    Args:
        model: its path.
        root: of the data set.
        asked: what is measured and drawn.
        open_subject: opens the model; called when everything else is seen to be usable.
        as_json: print for a program.
    """
    from denet.data.records import open_data
    from denet.evaluate import parse_rates
    from denet.examine import RATES, examine
    from denet.figures.album import not_drawn
    from denet.testset import open_split

    missing_rate = asked.missing_rate
    if asked.figures is not None:
        missing_rate = missing_rate or RATES
    rates = parse_rates(missing_rate) if missing_rate else []
    data = open_data(root)
    split = open_split(data)
    if asked.figures is not None:
        from denet.figures import check_folder, write_figures
        from denet.figures.captions import captions

        check_folder(asked.figures, captions(split.graph), replace=asked.force)
    subject = open_subject()
    if left_out := split.left_out(subject.graph):
        say_aside(left_out)
    pictures: list[Path] = []
    drawings: list[Drawing] = []
    with progress("evaluating") as notify:
        found = examine(
            subject,
            split,
            matrix=asked.matrix,
            rates=rates,
            recovery=asked.recovery,
            seed=asked.seed,
            batch=asked.batch,
            workers=asked.workers,
            notify=notify,
        )
        if asked.figures is not None:
            drawings = draw(subject, found, asked.seed, notify)
            pictures = write_figures(asked.figures, drawings)
    if asked.figures is not None and (undrawn := not_drawn(drawings, subject.model)):
        say_aside(undrawn)
    if asked.figures is not None and subject.model is None:
        from denet.figures import NOT_OF_A_BUNDLE

        say_aside(f"{model}: {NOT_OF_A_BUNDLE}")
    if as_json:
        facts = {"model": str(model), "data": str(root), **found.facts()}
        print_json(facts | {"figures": [str(path) for path in pictures]})
        return
    print_examination(f"{model} on {data.name} ({len(split.query)} queries)", found)
    if pictures:
        say(f"{asked.figures}: {', '.join(path.name for path in pictures)}")


def draw(subject: Subject, found: Examination, seed: int, notify: Notify) -> list[Drawing]:
    """Draw the figures of what was measured."""
    from denet.figures import draw_figures

    return draw_figures(
        found.split,
        found.embed,
        {str(subject.path): found.states},
        found.rates,
        model=subject.model,
        ranges=subject.ranges,
        seed=seed,
        notify=notify,
    )


def print_examination(title: str, found: Examination) -> None:
    """A table of each kind of measurement."""
    from denet.tables import matrix_table, ranking_table, recovery_table

    states = {s.name: r for s, r in found.states.items()}
    out.print(ranking_table(title, "state", states, found.own))
    if found.matrix:
        out.print(matrix_table(found.matrix))
    if found.rates:
        rows = {f"{rate:.0%}": ranking for rate, ranking in found.rates.items()}
        out.print(ranking_table("At a missing rate", "missing", rows))
    if found.recovery:
        out.print(recovery_table(found.recovery))


def report(
    root: Path, models: list[Path], asked: ReportOptions, open_subject: Callable[[Path], Subject]
) -> None:
    """Compare models, and write a page.

    Args:
        root: of the data set.
        models: their paths.
        asked: what the page shows.
        open_subject: opens a model.
    """
    from denet.data.records import open_data
    from denet.figures.album import not_drawn
    from denet.report import check_report, choose_shown, make_report, short_names, write_report
    from denet.tables import comparison_table
    from denet.testset import open_split

    check_report(asked.to, replace=asked.force)
    names = short_names(models)
    data = open_data(root)
    split = open_split(data)
    subjects = {name: open_subject(model) for name, model in zip(names, models, strict=True)}
    shown = choose_shown(subjects, asked.figures_of)
    for name, subject in subjects.items():
        if left_out := split.left_out(subject.graph):
            say_aside(f"{name}: {left_out}")
    with progress("evaluating") as notify:
        made = make_report(
            data,
            split,
            subjects,
            shown,
            seed=asked.seed,
            batch=asked.batch,
            workers=asked.workers,
            notify=notify,
        )
        write_report(made, asked.to)
    title = f"{data.name} ({len(split.query)} queries)"
    out.print(comparison_table(title, made.graph, made.states, made.own))
    if undrawn := not_drawn(made.drawings, made.subjects[made.shown].model):
        say_aside(undrawn)
    for parity in made.parities:
        say(parity.describe())
    say(f"{asked.to}: the report")
