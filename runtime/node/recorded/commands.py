"""`denet track`: who is where in recordings, every frame of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from denet.console import print_json, progress, reported, say, say_aside
from denet.options import HeadOpt, JsonOpt, RecordingOptions, grouped


@reported()
@grouped
def track(
    *,
    recordings: RecordingOptions,
    to: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The film to write, as annotated.mp4, with a table in CSV and one in "
            "MOTChallenge's form beside it; or NAME.csv for the tables alone.",
        ),
    ],
    bundle: Annotated[Path | None, typer.Option(help="The bundle that embeds.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="TOML",
            help="Or a node's configuration, whose settings hold, and whose recordings are taken "
            "unless others are named.",
        ),
    ] = None,
    head: HeadOpt = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="How persons are found: [b]motion[/b] (by itself), [b]detector:MODEL.onnx[/b], "
            "[b]file:BOXES.jsonl[/b] or [b]call:module:function[/b]."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Where sensors do not see the same: of [b]denet node align[/b]."),
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(help="Who is known: a file, or postgresql://...")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="The least cosine of a match, where the bundle carries no scores."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Frames a second: a folder has no pace.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what this command has written.")
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Follow people through whole recordings: a film with boxes and names, and tables."""
    from runtime.node.recorded.whole import TrackRequest, track_recordings

    asked = TrackRequest(
        recordings=recordings.paths,
        to=to,
        config=config,
        head=head,
        bundle=bundle,
        rate=rate,
        boxes=boxes,
        calibration=calibration,
        gallery=gallery,
        threshold=threshold,
        force=force,
    )
    with progress("following") as notify:
        found = track_recordings(asked, say_aside, notify)
    if as_json:
        facts = dataclasses.asdict(found)
        print_json(facts | {"written": [str(path) for path in found.written]})
        return
    say(
        f"{found.moments} frames, {found.boxes} boxes, {found.tracks} tracks of {found.people} "
        f"people; states {', '.join(f'{state} {n}' for state, n in found.states.items())}"
    )
    for identity, count in found.identities.items():
        say(f"{identity}: {count} track{'' if count == 1 else 's'}")
    for remark in found.remarks:
        say(remark)
    for path in found.written:
        say(f"{path}: written")
