"""The rivals in the paper's tables: `--methods`.

Which table compares with which method, and by which figures, is the paper's. Their rows come before
DENet's; behind all columns stand operations and parameters of each network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import msgspec

from denet.experiments.catalog import Block, Experiment, ExperimentError
from denet.experiments.rivals import RivalVariant, rival_variant
from denet.experiments.study import Job
from denet.experiments.tables import ResultTable, tabulate
from denet.experiments.variants import TrainingVariant
from denet.model import DENet
from denet.recipe import Recipe
from denet.rivals.catalog import METHODS, method
from denet.rivals.complexity import Complexity, complexity
from denet.rivals.rival import Setting

ALL = "all"

OF_TABLE: Mapping[str, tuple[str, ...]] = {
    "table1": ("mlfn", "hacnn", "osnet", "cal", "pfnet"),
    "table2": ("hc", "ddag", "mpanet"),
    "table4": ("dmml", "circle", "hamnet"),
}
"""The methods that the paper's tables have, by their numbers."""


def chosen_methods(text: str | None, tables: Sequence[str]) -> tuple[str, ...]:
    """The rivals that `--methods` names: "all", or names with commas.

    Args:
        text: what was written; None for none of them.
        tables: the experiments that are run.

    Raises:
        RivalError: there is none of a name.
        ExperimentError: none of the tables has a method that is named, or any method.
    """
    if text is None:
        return ()
    here = {name for table in tables for name in OF_TABLE.get(table, ())}
    if not here:
        raise ExperimentError(f"--methods: only {', '.join(OF_TABLE)} compare DENet with methods")
    if text == ALL:
        return tuple(name for name in METHODS if name in here)
    names = text.split(",")
    for name in names:
        label = method(name).label
        if name not in here:
            table = next(table for table, found in OF_TABLE.items() if name in found)
            raise ExperimentError(f"--methods: {label} is in {table}, which is not run")
    return tuple(dict.fromkeys(names))


def with_methods(table: str, experiment: Experiment, methods: Sequence[str]) -> Experiment:
    """`experiment` with those of `methods` that its table has.

    Args:
        table: its name.
        experiment: what it is without them.
        methods: as `chosen_methods` gives them.
    """
    rows = tuple(rival_variant(name) for name in OF_TABLE.get(table, ()) if name in methods)
    blocks = tuple(
        dataclasses.replace(block, variants=(*rows, *block.variants)) for block in experiment.blocks
    )
    return dataclasses.replace(experiment, blocks=blocks, costed=experiment.costed or bool(rows))


def tabulated(experiment: Experiment, jobs: Sequence[Job]) -> list[ResultTable]:
    """The tables of an experiment; with what networks cost, where it asks for that.

    Args:
        experiment: as `with_methods` gives it, which asks where it adds rows.
        jobs: finished.
    """
    grids = tabulate(experiment, jobs)
    if not experiment.costed:
        return grids
    blocks = experiment.blocks_of(jobs[0].recipe.model.graph)
    return [with_complexity(grid, block, jobs) for grid, block in zip(grids, blocks, strict=True)]


def with_complexity(grid: ResultTable, block: Block, jobs: Sequence[Job]) -> ResultTable:
    """`grid` with two columns more, operations and parameters, of its trained rows.

    Args:
        grid: of `block`; first its variants, then what is published.
        block: the table.
        jobs: of which some are of its variants.
    """
    costs: list[Complexity] = []
    for variant in block.variants:
        job = next(job for job in jobs if job.variant.key == variant.key)
        costs.append(cost_of(variant, job.recipe))
    cells = [(f"{cost.gflop:.2f}", f"{cost.parameters:.1f}") for cost in costs]
    missing = [("-", "-")] * (len(grid.rows) - len(cells))
    rows = [(*row, *more) for row, more in zip(grid.rows, cells + missing, strict=True)]
    return ResultTable(grid.title, (*grid.heads, "GFLOP", "million parameters"), tuple(rows))


def cost_of(variant: TrainingVariant, recipe: Recipe) -> Complexity:
    """What the network of a row costs; it does not depend on how many identities it learns.

    Args:
        variant: the row.
        recipe: with the changes of the row.
    """
    model = recipe.model
    if not isinstance(variant, RivalVariant):
        return complexity(lambda: DENet(model), model.graph, model.image_size)
    train = msgspec.structs.replace(recipe.train, pretrained=False)
    setting = Setting(msgspec.structs.replace(recipe, train=train), identities=2)
    build = METHODS[variant.rival].build
    return complexity(lambda: build(setting), model.graph, model.image_size)
