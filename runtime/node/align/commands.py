"""`denet node align`: where a place of the RGB frame is in the frames of the other cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import print_json, print_whole, progress, reported, say, say_aside
from denet.options import HeadOpt, JsonOpt

if TYPE_CHECKING:
    from denet.graph import Modality
    from runtime.node.align.aligned import Aligned
    from runtime.node.align.ways import AlignRequest


@reported()
def align(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TOML]", help="A node's configuration, whose sources are looked at."
        ),
    ] = None,
    *,
    head: HeadOpt = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="MODALITY=URL",
            help="Or the sources, as [b]rgb=file:a.mkv[/b]; once for each camera.",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Frames a second of a recorded folder.")
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(help="Pairs of points from a file.", rich_help_panel="Points"),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNSxROWS",
            help="Found on a chessboard: its corners inside, as [b]9x6[/b].",
            rich_help_panel="Points",
        ),
    ] = None,
    circles: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNSxROWS",
            help="Found on a grid of circles.",
            rich_help_panel="Points",
        ),
    ] = None,
    people: Annotated[
        bool,
        typer.Option(
            "--people",
            help="Found on feet and heads of people who walk.",
            rich_help_panel="Points",
        ),
    ] = False,
    click: Annotated[
        bool,
        typer.Option(
            "--click",
            help="Clicked on a page of this machine, whose address is printed.",
            rich_help_panel="Points",
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of that page; 0 for any that is free.")
    ] = 0,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for",
            min=0.1,
            metavar="SECONDS",
            help="To look for points: of cameras 60, of recordings all, unless it is said.",
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="PIXELS",
            help="By which a pair may be off; else 1 % of the frame's longer side, of people 2 %.",
        ),
    ] = None,
    rig: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=METRES,DEGREES",
            help="A camera's distance from RGB and horizontal angle of view: tells the parallax.",
        ),
    ] = None,
    distance: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="METRES", help="From the cameras to the points, with --rig."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="The calibration to write, as cameras.toml.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="A picture to write: one camera on the other."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Write the points that were found, too."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what this command has written.")
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Bring cameras to each other: from points that both see to the calibration of
    boxes.calibration, with how far each point is off."""
    from runtime.node.align.ways import AlignRequest

    asked = AlignRequest(
        config=config,
        head=head,
        sources=sources or (),
        rate=rate,
        points=points,
        board=board,
        circles=circles,
        people=people,
        click=click,
        port=port,
        seconds=seconds,
        within=within,
        rig=rig or (),
        distance=distance,
        to=to,
        picture=picture,
        save=save,
        force=force,
    )
    _shown(asked, as_json=as_json)


def _shown(asked: AlignRequest, *, as_json: bool) -> None:
    from runtime.node.align.ways import run_align

    with progress("looking", shown=not asked.click) as notify:
        outcome = run_align(
            asked,
            lambda what, done: notify(what, done, 0),
            lambda url: say_aside(f"click pairs of points here, Ctrl-C gives up: {url}"),
        )
    if as_json:
        print_json({"cameras": [each.facts() for each in outcome.found.values()]})
        return
    for m, each in outcome.found.items():
        _print_table(m, each)
        for line in each.lines():
            say(line)
        if m in outcome.parallax:
            say(f"{m}: {outcome.parallax[m]}")
    for path in outcome.written:
        say(f"{path}: written")


MOST_ROWS = 30
"""Of a table: the pairs that are off most."""


def _print_table(modality: Modality, found: Aligned) -> None:
    import numpy as np
    from rich.table import Table

    fitted = found.fitted
    shown = np.argsort(-fitted.errors, kind="stable")[:MOST_ROWS]
    rest = len(fitted.errors) - len(shown)
    title = f"{modality}: pairs of points" + (f", the {MOST_ROWS} worst" if rest else "")
    table = Table("pair", "rgb", modality, "off", "", title=title)
    for i in sorted(shown) if not rest else shown:
        (x, y), (u, v), off = found.source[i], found.target[i], fitted.errors[i]
        table.add_row(
            str(found.numbers[i]),
            f"{x:.1f} {y:.1f}",
            f"{u:.1f} {v:.1f}",
            f"{off:.2f}",
            "" if fitted.kept[i] else "left out",
        )
    print_whole(table)
