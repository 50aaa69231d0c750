"""`denet node`: run a camera node, and try what its configuration names."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import reported, say, say_aside, say_error

if TYPE_CHECKING:
    from runtime.node.snapshot import NodeSnapshot

node = typer.Typer(
    help="Run a camera node: live streams in, embeddings and identities out.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

SettingsArg = Annotated[Path, typer.Argument(metavar="TOML", help="The node's configuration.")]


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
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=0, metavar="SECONDS", help="Stop after so many seconds."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON each second, for a program to read.")
    ] = False,
) -> None:
    """Run until the sources end, or a signal comes: one to finish what is under way, two to stop
    at once."""
    from runtime.node import Node, read_settings
    from runtime.node.injection import read_faults
    from runtime.node.memory import share_one_arena
    from runtime.node.printer import LinePrinter
    from runtime.node.running import Signals, run_node

    share_one_arena()
    settings = read_settings(config)
    faults = None if inject is None else read_faults(inject)
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
        end = run_node(running, notify, seconds=seconds, signals=signals)
    if as_json:
        print(json.dumps(end.facts()), flush=True)
    else:
        for line in end.summary():
            say(line)
    if running.failure:
        say_aside(f"stopped by an error: {running.failure}")
        raise typer.Exit(1)


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
