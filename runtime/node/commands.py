"""`denet node`: run a camera node, and try what its configuration names."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import progress, reported, say, say_aside, say_error
from denet.options import DurationOpt, JsonLinesOpt
from runtime.node.align.commands import align

if TYPE_CHECKING:
    from runtime.node.faults import FaultSettings
    from runtime.node.settings import NodeSettings
    from runtime.node.snapshot import NodeSnapshot

node = typer.Typer(
    help="Run a camera node: live streams in, embeddings and identities out.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

SettingsArg = Annotated[Path, typer.Argument(metavar="TOML", help="The node's configuration.")]

SourcesOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="MODALITY=URL",
        help="Where frames come from, as [b]rgb=rtsp://camera/stream[/b] or "
        "[b]tir=folder:recording[/b]; once for each sensor. Of several heads as "
        "[b]east/rgb=URL[/b].",
    ),
]


@node.command("run")
@reported()
def run(
    config: SettingsArg,
    inject: Annotated[
        str | None,
        typer.Option(
            metavar="FAULTS",
            help="Make faults on purpose: [b]'every=100;kinds=black|frozen'[/b], or a TOML file; "
            "'' for all kinds.",
        ),
    ] = None,
    seconds: DurationOpt = None,
    as_json: JsonLinesOpt = False,
) -> None:
    """Run until the sources end, or a signal comes: one to finish what is under way, two to stop
    at once."""
    from runtime.node import read_settings
    from runtime.node.injection import read_faults

    settings = read_settings(config)
    faults = None if inject is None else read_faults(inject)
    run_shown(settings, faults, seconds, as_json=as_json)


def run_shown(
    settings: NodeSettings, faults: FaultSettings | None, seconds: float | None, *, as_json: bool
) -> None:
    """Run a node with its lines, until it ends."""
    from runtime.node import Node
    from runtime.node.memory import share_one_arena
    from runtime.node.printer import LinePrinter
    from runtime.node.running import Signals, run_node

    share_one_arena()
    signals = Signals()
    before: NodeSnapshot | None = None

    def notify(snapshot: NodeSnapshot) -> None:
        nonlocal before
        if as_json:
            print(json.dumps(snapshot.facts()), flush=True)
        else:
            say(snapshot.line(before))
        before = snapshot

    with signals.caught(), closing(LinePrinter(say_aside)) as printer:
        running = Node(settings, faults=faults, notify=printer)
        if running.status_url:
            printer(f"status page: {running.status_url}")
        end = run_node(running, notify, seconds=seconds, signals=signals)
    if as_json:
        print(json.dumps(end.facts()), flush=True)
    else:
        for line in end.summary():
            say(line)
    if running.failure:
        say_aside(f"stopped by an error: {running.failure}")
        raise typer.Exit(1)


@node.command("demo")
@reported()
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="A new folder to put the demonstration into; without, one that is removed at the "
            "end.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the status page; 0 for any.")
    ] = 0,
    seconds: DurationOpt = None,
) -> None:
    """Show a node at work, without cameras and without a model of your own: drawn people walk,
    cross and return, sensors fail; on the status page, and as events."""
    from tempfile import TemporaryDirectory

    from runtime.node import read_settings
    from runtime.node.demo.demonstration import make_demonstration

    with ExitStack() as kept:
        if folder is None:
            folder = Path(kept.enter_context(TemporaryDirectory(prefix="denet-demo-"))) / "demo"
        with progress("drawing") as notify:
            config = make_demonstration(
                folder, port, lambda done, total: notify("drawing", done, total)
            )
        say(f"{config}: the configuration; events.jsonl beside it: what the node tells")
        say("Ctrl-C ends it")
        run_shown(read_settings(config), None, seconds, as_json=False)


@node.command("init")
@reported()
def init(
    config: Annotated[
        Path, typer.Argument(metavar="TOML", help="The configuration to write.")
    ] = Path("node.toml"),
    *,
    bundle: Annotated[Path | None, typer.Option(help="The bundle that embeds.")] = None,
    sources: SourcesOpt = None,
    heads: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Several heads, as [b]east,west[/b], each with sources of its own.",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Frames a second of a recorded folder.")
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="How persons are found: [b]motion[/b], [b]detector:MODEL.onnx[/b], "
            "[b]file:BOXES.jsonl[/b], [b]call:module:function[/b], or [b]crops[/b] where each "
            "frame is one person."
        ),
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(help="Whom it knows: a file, or postgresql://...")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="The least cosine of a match, where the bundle carries no scores."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the node in its events.")] = "node",
    loop: Annotated[
        bool, typer.Option("--loop", help="Recordings begin again at their end.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the status page; 0 for any.")
    ] = 8321,
) -> None:
    """Write a commented configuration from a few answers: what no option says is asked for on a
    terminal."""
    from runtime.node.questions import Given, begin, on_terminal

    names = [] if heads is None else [each.strip() for each in heads.split(",")]
    given = Given(name, bundle, sources or (), names, rate, boxes, gallery, threshold, loop, port)
    for line in begin(config, given, on_terminal()):
        say(line)


@node.command("check")
@reported()
def check(
    config: SettingsArg,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds of real frames, at most.")
    ] = 5.0,
    empty: Annotated[
        bool, typer.Option("--empty", help="Nobody needs to be in view of the cameras.")
    ] = False,
) -> None:
    """Try everything that a configuration names: cameras, bundle, gallery, files, broker, ports;
    then all of it together, on some seconds of real frames."""
    from runtime.node import read_settings
    from runtime.node.check import check_node

    problems = check_node(
        read_settings(config), lambda part: say(f"ok: {part}"), seconds=seconds, empty=empty
    )
    for problem in problems:
        say_error(problem)
    if problems:
        raise typer.Exit(2)


@node.command("aside")
@reported()
def aside(
    config: SettingsArg,
    retry: Annotated[bool, typer.Option("--retry", help="Have the next run send them.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove them for good.")] = False,
) -> None:
    """Show the events that were set aside: the broker takes none of them. The node must not run."""
    from runtime.node import read_settings
    from runtime.node.events.aside import empty_aside, list_aside

    settings = read_settings(config).events
    if retry or drop:
        say(empty_aside(settings, retry=retry, drop=drop))
        return
    for line in list_aside(settings):
        say(line)


node.command("align")(align)
