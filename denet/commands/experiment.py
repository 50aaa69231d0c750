"""`denet experiment`: the paper's tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denet.console import out, progress, reported, say
from denet.options import ConfigOpt, DataArg, PresetOpt
from denet.progress import counted


@reported(extra="train")
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="table1 to table7, fig5-rho, fig5-mu, fig5-eta, "
            "states, or several as table1,table5."
        ),
    ],
    root: DataArg,
    to: Annotated[Path, typer.Option("--out", help="The directory of runs and tables.")],
    preset: PresetOpt = None,
    config: ConfigOpt = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each variant.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 1,
    methods: Annotated[
        str | None,
        typer.Option(help="Rivals in table1, table2, table4: [b]all[/b], or as osnet,cal."),
    ] = None,
) -> None:
    """Run the paper's experiments; finished runs are shared and kept."""
    from denet.data.records import open_data
    from denet.experiments import catalog, study, tables
    from denet.experiments.methods import chosen_methods, with_complexity, with_methods
    from denet.recipe import read_recipe

    names = name.split(",")
    chosen = [catalog.experiment(each) for each in names]
    rivals = chosen_methods(methods, names)
    chosen = [with_methods(n, each, rivals) for n, each in zip(names, chosen, strict=True)]
    recipe = read_recipe(preset, config)
    data = open_data(root)
    study.check_out(to, names)
    todo = study.jobs_of(chosen, recipe, seeds, to)
    with progress("training", len(todo)) as notify:
        more = counted(notify, "training", len(todo))
        study.run_jobs(todo, data, jobs, notify=lambda _: more(1))
    grids = [(each, tables.tabulate(each, todo, data.name)) for each in chosen]
    for each, (table, grid) in zip(names, grids, strict=True):
        if rivals:
            grid = with_complexity(grid, table, todo)
        out.print(grid.for_terminal())
        say(str(study.write_table(to, each, grid.markdown())))
