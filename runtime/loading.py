"""A bundle loaded as the options of a command say, and seen to compute what it should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denet.errors import DenetError
from denet.graph import Graph, Modality, State
from denet.options import RuntimeOptions

if TYPE_CHECKING:
    from denet.pixels import Range
    from runtime.bundle.bundle import Bundle
    from runtime.runtime import Runtime


class RangeError(DenetError):
    """What is no range of values of a modality; the message repeats it."""


def loaded(
    bundle: Bundle | Path,
    running: RuntimeOptions,
    batch: int = 16,
    *,
    states: Iterable[State] | None = None,
    check: bool = False,
    ranges: Mapping[Modality, Range] | None = None,
    cache: Path | None = None,
) -> Runtime:
    """A bundle that is loaded as the options say.

    Args:
        bundle: to load.
        running: the options.
        batch: samples at once, at most.
        states: that will be embedded, or None for all: their engines are loaded, and a golden input
            is embedded in each before anything else is.
        check: run the whole canary instead.
        ranges: of sensors of more than 8 bits, the values that are black and white.
        cache: a folder where optimized graphs are kept.

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
        cache=cache,
        ranges=ranges,
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


def read_ranges(given: Sequence[str] | None, graph: Graph) -> dict[Modality, Range]:
    """The values of black and white that a user names, as tir=7000:9000.

    Raises:
        RangeError: one is not of this form, or of no modality of `graph`.
    """
    from denet.pixels import checked_range

    found: dict[Modality, Range] = {}
    for text in given or ():
        modality, _, values = text.partition("=")
        low, _, high = values.partition(":")
        if modality not in graph.modalities:
            raise RangeError(f"--range {text}: begin with one of {', '.join(graph.modalities)}")
        try:
            found[modality] = checked_range(float(low), float(high))
        except ValueError:
            raise RangeError(
                f"--range {text}: write {modality}=BLACK:WHITE, two rising values"
            ) from None
    return found
