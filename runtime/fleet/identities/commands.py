"""`denet fleet identify` and `topology`: who is who over cameras."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from denet.console import print_json, print_whole, reported, say, say_aside
from denet.options import DurationOpt, JsonLinesOpt, JsonOpt, grouped
from runtime.fleet.installed import read_installed
from runtime.fleet.printing import printed
from runtime.fleet.questions import WhichOptions

ConfigArg = Annotated[Path, typer.Argument(metavar="TOML", help="The fleet's configuration.")]


@reported()
def identify(
    config: ConfigArg,
    once: Annotated[bool, typer.Option("--once", help="Decide all that waits, and end.")] = False,
    seconds: DurationOpt = None,
    as_json: JsonLinesOpt = False,
) -> None:
    """Join the tracks of all cameras into anonymous identities, until a signal comes."""
    settings = read_installed(config)
    from runtime.fleet.errors import FleetError
    from runtime.fleet.identities.running import IdentityKeeper
    from runtime.node.printer import LinePrinter
    from runtime.node.running import Signals
    from runtime.postgres.connecting import in_plain_words

    if once and seconds is not None:
        raise FleetError("--once and --for exclude each other: give one")
    signals, progress = Signals(), printed(as_json=as_json)
    with closing(LinePrinter(say_aside)) as printer:
        keeper = IdentityKeeper(settings, printer)
        if once:
            with in_plain_words(settings.archive.address, FleetError):
                keeper.once(progress)
        else:
            with signals.caught():
                keeper.run(progress, signals, seconds)
    progress(keeper.snapshot())


@reported()
@grouped
def topology(
    config: ConfigArg,
    *,
    which: WhichOptions,
    write: Annotated[
        bool,
        typer.Option("--toml", help="Print the ways as the configuration takes them, alone."),
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Learn from which camera people come to which other, and in what time."""
    settings = read_installed(config)
    from dataclasses import asdict

    from runtime.fleet.counting import read_fitting
    from runtime.fleet.errors import FleetError
    from runtime.fleet.identities.describe import transit_lines, transit_table, transit_toml
    from runtime.fleet.identities.learning import learn_topology
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.score_file import score_file

    if write and as_json:
        raise FleetError("--toml and --json exclude each other: give one")
    scores_file = score_file(settings.questions)
    with opened_archive(settings) as connection:
        asked = which.read(connection)
        _, number, scores = read_fitting(connection, scores_file)
        found = learn_topology(connection, number, scores, asked, settings.identities.window)
    if as_json:
        print_json(asdict(found))
    elif write:
        for line in transit_toml(found):
            say(line)
    else:
        if found.transits:
            print_whole(transit_table(found))
        for line in transit_lines(found):
            say(line)
