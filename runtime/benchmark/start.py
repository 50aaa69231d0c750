"""Cold starts: fresh processes that load a bundle and embed, and the memory that they take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Sequence

import msgspec

from denet.graph import Graph, State
from runtime.benchmark.child import Asked, Told
from runtime.benchmark.costs import StartCost
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.stats import repeated
from runtime.benchmark.turns import Notify

PATIENCE = 600.0
"""Seconds after which a process is given up."""

BEGIN = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "import time; began = time.perf_counter(); from runtime import Runtime; "
    "took = time.perf_counter() - began; "
    "from runtime.benchmark.child import main; main(took)"
)
"""The program of a fresh process: what a node imports is timed before anything else is. Modules are
looked for where this process finds them, not in the current directory."""


def start_costs(
    asked: Asked,
    graph: Graph,
    batch: int,
    repeats: int,
    states: Sequence[State] | None = None,
    notify: Notify = lambda _: None,
) -> dict[str, StartCost]:
    """What a cold start takes, for each state alone and for all of them.

    Fresh processes of each kind take turns, so that a drift of the machine favours none.

    Args:
        asked: the variant; its states and batch are replaced.
        graph: of its bundle.
        batch: the largest batch, for the memory that it takes.
        repeats: processes of each kind.
        states: each of which is prepared alone; None for all of the graph.
        notify: told of each process.

    Raises:
        BenchmarkError: a process failed.
    """
    alone = graph.states if states is None else states
    kinds: dict[str, tuple[tuple[State, ...], int]] = {s.name: ((s,), 1) for s in alone}
    kinds["all"] = (graph.states, 1)
    if batch > 1:
        kinds[f"all, batch {batch}"] = (graph.states, batch)
    told: dict[str, list[Told]] = {name: [] for name in kinds}
    for repeat in range(repeats):
        for name, (prepared, size) in kinds.items():
            notify(f"starting {name}, {repeat + 1} of {repeats}")
            mine = tuple(state.name for state in prepared)
            told[name].append(_run(msgspec.structs.replace(asked, states=mine, batch=size)))
    return {
        name: _cost(graph.engines_of(prepared), size, told[name])
        for name, (prepared, size) in kinds.items()
    }


def _cost(engines: Collection[str], batch: int, told: Sequence[Told]) -> StartCost:
    host = [t.host_bytes for t in told if t.host_bytes is not None]
    device = [t.device_bytes for t in told if t.device_bytes is not None]
    return StartCost(
        engines=len(engines),
        batch=batch,
        imports=repeated([1e3 * t.imports for t in told]),
        load=repeated([1e3 * t.load for t in told]),
        embed=repeated([1e3 * t.embed for t in told]),
        first=repeated([1e3 * (t.load + t.embed) for t in told]),
        host_bytes=repeated(host) if host else None,
        device_bytes=repeated(device) if device else None,
    )


def _run(asked: Asked) -> Told:
    """A fresh process that does what is asked."""
    command = [sys.executable, "-c", BEGIN, msgspec.json.encode(asked).decode(), *sys.path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return msgspec.json.decode(done.stdout, type=Told)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        reason = str(error)
    raise BenchmarkError(f"{asked.bundle}: a fresh process could not embed with it: {reason}")
