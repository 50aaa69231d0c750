"""A bundle loaded as the options of a command say, and seen to compute what it should."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from denet.graph import State
from denet.options import RuntimeOptions

if TYPE_CHECKING:
    from runtime.bundle.bundle import Bundle
    from runtime.runtime import Runtime


def loaded(
    bundle: Bundle | Path,
    running: RuntimeOptions,
    batch: int = 16,
    *,
    states: Iterable[State] | None = None,
    check: bool = False,
) -> Runtime:
    """A bundle that is loaded as the options say.

    Args:
        bundle: to load.
        running: the options.
        batch: samples at once, at most.
        states: that will be embedded, or None for all: their engines are loaded, and a golden input
            is embedded in each before anything else is.
        check: run the whole canary instead.

    Raises:
        CanaryError: a golden input does not give the expected embedding.
        DenetError: as `Runtime.load`.
    """
    from runtime.runtime import Runtime

    runtime = Runtime.load(
        bundle,
        running.backend,
        running.precision,
        check=check,
        threads=running.threads,
        max_batch=batch,
        key=running.key,
    )
    try:
        wanted = runtime.graph.states if states is None else tuple(states)
        runtime.prepare(wanted)
        if not check:
            runtime.check(wanted, samples=1)
    except BaseException:
        runtime.close()
        raise
    return runtime
