"""`denet fleet`: keep what the nodes of a fleet see, and ask about it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from denet.console import print_json, print_whole, reported, say, say_aside
from denet.options import DurationOpt, JsonLinesOpt, JsonOpt
from runtime.fleet.identities.commands import identify, topology
from runtime.fleet.installed import read_installed
from runtime.fleet.page.commands import page
from runtime.fleet.printing import printed
from runtime.fleet.questions import count, follow, search

fleet = typer.Typer(
    help="Keep what the nodes of a fleet see, and ask about it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

FleetArg = Annotated[Path, typer.Argument(metavar="TOML", help="The fleet's configuration.")]


@fleet.command("run")
@reported()
def run(
    config: FleetArg,
    drain: Annotated[
        bool,
        typer.Option(
            "--drain",
            help="Store what the broker still holds for these workers, and end their sessions: "
            "before there are fewer of them.",
        ),
    ] = False,
    seconds: DurationOpt = None,
    as_json: JsonLinesOpt = False,
) -> None:
    """Take the tracks of all nodes from the broker and keep them, until a signal comes."""
    settings = read_installed(config)
    from runtime.fleet.metrics import served_metrics
    from runtime.fleet.running import Fleet, run_fleet
    from runtime.node.printer import LinePrinter
    from runtime.node.running import Signals

    signals, notify = Signals(), printed(as_json=as_json)
    with signals.caught(), closing(LinePrinter(say_aside)) as printer:
        workers = Fleet(settings, printer, draining=drain)
        with served_metrics(settings, workers.snapshot):
            end = run_fleet(workers, notify, signals, seconds)
    notify(end)
    if end.failures:
        raise typer.Exit(1)


@fleet.command("status")
@reported()
def status(config: FleetArg, as_json: JsonOpt = False) -> None:
    """Show what the archive holds, and when each camera was heard last."""
    settings = read_installed(config)
    from dataclasses import asdict

    from runtime.fleet.describe import camera_table, standing_lines
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.standing import archive_standing

    with opened_archive(settings) as connection:
        found = archive_standing(connection)
    if as_json:
        print_json(asdict(found))
        return
    print_whole(camera_table(found.cameras, time.time()))
    for line in standing_lines(found):
        say(line)


@fleet.command("roles")
@reported()
def roles(
    config: FleetArg,
    asks: Annotated[str, typer.Option("--ask", help="Role that may ask.")] = "denet_ask",
    keeps: Annotated[
        str, typer.Option("--keep", help="Role that may store and forget, too.")
    ] = "denet_keep",
) -> None:
    """Make the archive if need be, and let roles of PostgreSQL use it."""
    settings = read_installed(config)
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.tables import give_roles, make_tables

    address = settings.archive.address
    with opened_archive(settings, there=False) as connection:
        make_tables(connection, address)
        made = give_roles(connection, address, asks, keeps)
    new = f" (made: {', '.join(made)})" if made else ""
    say(f"{address.name}: {asks} may ask, {keeps} may store and forget, too{new}")


@fleet.command("aside")
@reported()
def aside(
    config: FleetArg,
    retry: Annotated[
        bool, typer.Option("--retry", help="Store those that this version of denet can read.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove them for good.")] = False,
) -> None:
    """Show the messages that came and are no events that this version of denet can store."""
    settings = read_installed(config)
    from runtime.fleet.aside import drop_aside, list_aside, retry_aside
    from runtime.fleet.errors import FleetError
    from runtime.fleet.opening import opened_archive

    if retry and drop:
        raise FleetError("--retry and --drop exclude each other: give one")
    with opened_archive(settings) as connection:
        if retry:
            done, left = retry_aside(connection)
            say(f"{done} messages are stored, {left} are still set aside")
        elif drop:
            say(f"{drop_aside(connection)} messages are removed")
        else:
            found = list_aside(connection)
            for each in found:
                when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.arrived))
                say(f"{when}  {each.topic}  {each.size} bytes  {each.reason}")
            say(f"{len(found)} messages are set aside")


@fleet.command("forget")
@reported()
def forget(
    config: FleetArg,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="TRACK", help="Track to forget, as CAMERA/TRACK; or all of an identity."
        ),
    ] = None,
) -> None:
    """Forget a track or an identity, or all that is older or more than the configuration keeps."""
    settings = read_installed(config)
    from runtime.fleet.errors import FleetError
    from runtime.fleet.identities.naming import PREFIX
    from runtime.fleet.identities.ways import forget_identity
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.retention import forget_old, forget_track

    with opened_archive(settings) as connection:
        if what is None:
            gone = forget_old(connection, settings.archive)
        elif what.startswith(PREFIX):
            gone = forget_identity(connection, what)
        elif not (gone := forget_track(connection, what)):
            raise FleetError(f"{what}: there is no such track: see `denet fleet search`")
    say(f"tracks forgotten: {gone}")


fleet.command("identify")(identify)
fleet.command("page")(page)
fleet.command("topology")(topology)
fleet.command("search")(search)
fleet.command("follow")(follow)
fleet.command("count")(count)
