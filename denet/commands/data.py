"""`denet synth` and `denet data`: a synthetic data set, and a look at any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denet.console import out, progress, reported, say
from denet.options import DataArg
from denet.progress import counted


@reported(extra="train")
def synth(
    to: Annotated[Path, typer.Argument(metavar="OUT", help="The directory to make.")],
    identities: Annotated[int, typer.Option(help="Number of people, half of them to train.")] = 60,
    cameras: Annotated[int, typer.Option(help="Number of cameras that see each of them.")] = 4,
    shots: Annotated[int, typer.Option(help="Images of each person by each camera.")] = 4,
    height: Annotated[int, typer.Option(help="Height of an image, in pixels.")] = 128,
    width: Annotated[int, typer.Option(help="Width of an image, in pixels.")] = 64,
    seed: Annotated[
        int, typer.Option(help="Seed; another one gives other people and cameras.")
    ] = 0,
) -> None:
    """Draw a synthetic data set of people in three modalities."""
    from denet.data.synthetic import SyntheticConfig, write_synthetic

    config = SyntheticConfig(
        identities=identities,
        cameras=cameras,
        shots=shots,
        height=height,
        width=width,
        seed=seed,
    )
    with progress("drawing", identities) as notify:
        more = counted(notify, "drawing", identities)
        write_synthetic(to, config, notify=lambda _: more(1))
    say(f"{to}: {identities * cameras * shots} triplets of {identities} people")


@reported(extra="train")
def data(root: DataArg) -> None:
    """Check a data set: read every image, say what is wrong."""
    from denet.data.check import check_data, report_table

    with progress("reading") as notify:
        report = check_data(root, notify=lambda done, total: notify("reading", done, total))
    out.print(report_table(report))
