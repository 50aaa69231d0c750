"""`denet fleet page`: cameras, a search and ways, to be looked at."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from denet.console import reported, say
from denet.options import DurationOpt, RuntimeOptions, grouped
from runtime.fleet.installed import read_installed


@reported()
@grouped
def page(
    config: Annotated[Path, typer.Argument(metavar="TOML", help="The fleet's configuration.")],
    *,
    running: RuntimeOptions,
    seconds: DurationOpt = None,
) -> None:
    """Show cameras, search with pictures and follow people on a page, until a signal comes."""
    settings = read_installed(config)
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.page.serving import FleetPage
    from runtime.fleet.score_file import score_file
    from runtime.gallery.scores import read_scores
    from runtime.gallery.space import Space
    from runtime.loading import loaded
    from runtime.node.running import Signals
    from runtime.node.watchdog import notify_systemd

    file = score_file(settings.questions)
    with opened_archive(settings):
        pass  # what is wrong with it is told before anything is served
    bundle = settings.questions.bundle
    signals = Signals()
    with nullcontext() if bundle is None else loaded(Path(bundle), running, 1) as runtime:
        scores = None
        if runtime is not None:
            scores = read_scores(file, Space.of(runtime.bundle.manifest))
        with closing(FleetPage(settings, file, runtime, scores)) as shown, signals.caught():
            shown.start()
            say(shown.url)
            notify_systemd("READY=1")
            end = None if seconds is None else time.monotonic() + seconds
            while not signals.stops and (end is None or time.monotonic() < end):
                signals.changed.wait(1.0 if end is None else max(0.0, end - time.monotonic()))
                signals.changed.clear()
