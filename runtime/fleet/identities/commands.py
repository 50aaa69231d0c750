"""`denet fleet identify` and `topology`: who is who over cameras."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import reported, say, say_aside
from denet.options import DurationOpt, JsonLinesOpt
from runtime.fleet.installed import read_installed

if TYPE_CHECKING:
    from runtime.fleet.identities.running import IdentifySnapshot

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
    signals = Signals()
    before = ""

    def progress(snapshot: IdentifySnapshot) -> None:
        nonlocal before
        if as_json:
            print(json.dumps(snapshot.facts()), flush=True)
        elif (line := snapshot.line()) != before:
            before = line
            say(line)

    with closing(LinePrinter(say_aside)) as printer:
        keeper = IdentityKeeper(settings, printer)
        if once:
            with in_plain_words(settings.archive.address, FleetError):
                keeper.once(progress)
        else:
            with signals.caught():
                keeper.run(progress, signals, seconds)
    progress(keeper.snapshot())
