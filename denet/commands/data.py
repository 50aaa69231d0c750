"""`denet synth` and `denet data`: a synthetic data set, and a look at any."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from denet.console import out, progress, reported, say
from denet.entry import EntryGroup
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


class CheckByDefault(EntryGroup):
    """`denet data DATA` is `denet data check DATA`; a folder called `check` is `./check`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As of click, of the command `check` where none is named."""
        named = args and self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if named else ["check", *args])


data = typer.Typer(
    help="Check a data set, or make one of folders or tables: [b]denet data DATA[/b] checks.",
    cls=CheckByDefault,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@data.command()
@reported(extra="train")
def check(
    root: DataArg,
    modalities: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Of the model that is to be trained, as rgb,tir (default: all that there are).",
        ),
    ] = None,
) -> None:
    """Check a data set: read every image, say what is wrong. Exit code 2 if training would stop."""
    from denet.data.check import check_data, report_table
    from denet.recipe import parse_modalities

    wanted = None if modalities is None else parse_modalities(modalities)
    with progress("reading") as notify:
        report = check_data(root, wanted, notify=lambda done, total: notify("reading", done, total))
    out.print(report_table(report))
    if report.stops:
        raise typer.Exit(2)


@data.command("import")
@reported(extra="train")
def import_data(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The folder with the images.")],
    to: Annotated[
        Path, typer.Option("--out", metavar="DATA", help="The data set to make, a new folder.")
    ],
    pattern: Annotated[
        str | None,
        typer.Option(
            help="What paths in SOURCE look like: [b]{modality}/{identity}_c{camera}_{frame}.jpg"
            "[/b]. Default: guessed."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="A table instead: columns path (in SOURCE), identity, and if need be camera, "
            "modality, and sample, which pairs the modalities.",
        ),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=NAME",
            help="What SOURCE calls a modality, as tir=flir; may be repeated.",
        ),
    ] = None,
    train_share: Annotated[
        float, typer.Option(help="Part of the identities to train on; the others are the test.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    copy: Annotated[bool, typer.Option("--copy", help="Copy images instead of linking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, and write nothing.")] = False,
) -> None:
    """Make a data set of your own folders: who is seen by which camera, in which modality."""
    from denet.data.importing.find import find_source
    from denet.data.importing.proposal import proposal_table, propose
    from denet.data.importing.write import check_new, write_proposal
    from denet.data.sample import DataError

    if not 0 < train_share < 1:
        raise DataError(f"--train-share {train_share}: must be between 0 and 1")
    if not dry_run:
        check_new(to)
    found = find_source(source, pattern, table, modality or [])
    proposal = propose(source, found, train_share=train_share, seed=seed)
    out.print(proposal_table(proposal))
    if dry_run:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise DataError("nobody can be asked here: add --yes to write it, or --dry-run")
        if not typer.confirm(f"write {to}?"):
            raise typer.Exit(1)
    with progress("writing", len(proposal.samples)) as notify:
        write_proposal(
            proposal, to, copy=copy, notify=lambda done, total: notify("writing", done, total)
        )
    say(f"{to}: {len(proposal.samples)} samples; next: {shlex.join(['denet', 'data', str(to)])}")
