"""`denet experiment`: the paper's tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denet.console import out, progress, reported, say, status
from denet.options import ConfigOpt, DataArg, PresetOpt
from denet.progress import counted


@reported(extra="train")
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="table1 to table7, fig5 to fig8, fig5-rho, fig5-mu, fig5-eta, compositions, "
            "literal, states, or several as table1,table5."
        ),
    ],
    root: DataArg,
    to: Annotated[Path, typer.Option("--out", help="The directory of runs, tables and pictures.")],
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
    from denet.experiments import catalog, pictures, study, tables
    from denet.experiments.methods import chosen_methods, with_complexity, with_methods
    from denet.recipe import read_recipe

    found = {each: catalog.experiment(each) for each in name.split(",")}
    rivals = chosen_methods(methods, [*found])
    chosen = {each: with_methods(each, table, rivals) for each, table in found.items()}
    recipe = read_recipe(preset, config)
    data = open_data(root)
    study.check_out(to, chosen)
    todo = study.jobs_of([*chosen.values()], recipe, seeds, to)
    with progress("training", len(todo)) as notify:
        more = counted(notify, "training", len(todo))
        study.run_jobs(todo, data, jobs, notify=lambda _: more(1))
    for each, experiment in chosen.items():
        if grids := tables.tabulate(experiment, todo):
            if rivals:
                blocks = experiment.blocks_of(recipe.model.graph)
                grids = [
                    with_complexity(grid, block, todo)
                    for grid, block in zip(grids, blocks, strict=True)
                ]
            for grid in grids:
                out.print(grid.for_terminal())
            say(str(study.write_table(to, each, tables.markdown(grids))))
        if experiment.picture:
            with status(f"drawing {each}"):
                png = pictures.draw(each, todo, data)
            say(str(study.write_picture(to, each, png)))
