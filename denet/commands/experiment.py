"""`denet experiment`: the paper's tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import out, progress, reported, say, say_aside, status
from denet.options import ConfigOpt, DataArg, PresetOpt
from denet.progress import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from denet.data.records import DataSet
    from denet.graph import Graph


@reported(extra="train")
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="table1 to table7, fig5 to fig8, fig5-rho, fig5-mu, fig5-eta, compositions, "
            "literal, states, gaps, gaps-steps, or several as table1,table5."
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
    from denet.experiments.methods import chosen_methods, tabulated, with_methods
    from denet.recipe import read_recipe

    found = {each: catalog.experiment(each) for each in name.split(",")}
    rivals = chosen_methods(methods, [*found])
    chosen = {each: with_methods(each, table, rivals) for each, table in found.items()}
    recipe = read_recipe(preset, config)
    data = open_data(root)
    study.check_out(to, chosen)
    for line in gap_lines(data, recipe.model.graph, rivals):
        say_aside(line)
    todo = study.jobs_of([*chosen.values()], recipe, seeds, to)
    with progress("training", len(todo)) as notify:
        more = counted(notify, "training", len(todo))
        study.run_jobs(todo, data, jobs, notify=lambda _: more(1))
    for each, experiment in chosen.items():
        if grids := tabulated(experiment, todo):
            for grid in grids:
                out.print(grid.for_terminal())
            say(str(study.write_table(to, each, tables.markdown(grids))))
        if experiment.picture:
            with status(f"drawing {each}"):
                png = pictures.draw(each, todo, data)
            say(str(study.write_picture(to, each, png)))


def gap_lines(data: DataSet, graph: Graph, rivals: Sequence[str]) -> list[str]:
    """What is left out of a set whose samples lack modalities, of training and of evaluation."""
    from denet.data.support import Support
    from denet.testset import open_split

    support = Support.of(data.train, graph)
    lines = ["; ".join(support.lines()), open_split(data).left_out(graph)]
    if rivals and support.complete < support.total:
        lines.append(
            f"{', '.join(rivals)}: trained on the {support.complete} complete of "
            f"{support.total} training samples alone: a rival takes no others"
        )
    return [line for line in lines if line]
