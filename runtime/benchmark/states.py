"""What each missing state costs: latency, where it goes by engine, batches, and energy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.graph import Graph, Modality, State
from runtime.backends.base import Span, Trace
from runtime.benchmark.costs import Breakdown
from runtime.benchmark.inputs import Tensors, limited
from runtime.benchmark.turns import Clock, Notify, Side, Turns, in_turn, shared_out
from runtime.machine import PowerMeter, module_total
from runtime.runtime import Runtime

STRETCHES = 10
"""Of the latency of a state."""

TRACES = 5, 6
"""Stretches of traced runs, and runs in each."""

SWEEP = 5
"""Stretches of the sweep of batches; a tenth of the rounds is shared out among them."""

ENERGY_SECONDS = 3.0
"""For how long a state runs while its energy is measured; power is read ten times a second."""

Runtimes = Mapping[str, Runtime]
"""Loaded variants by name."""


@dataclass(frozen=True)
class Traced:
    """A traced run: what the backend told, and all the time that it took, in seconds."""

    total: float
    trace: Trace


def graph_of(runtimes: Runtimes) -> Graph:
    """The graph of the bundle that all of `runtimes` run."""
    return next(iter(runtimes.values())).graph


def swept(graph: Graph) -> tuple[State, ...]:
    """The states whose batches are swept: one of each number of missing modalities."""
    return tuple(states[0] for states in graph.groups.values())


def embedder(runtime: Runtime, samples: Sequence[Tensors]) -> Side:
    """From the network input of a batch to its embeddings."""

    def run() -> None:
        runtime.head(runtime.composer.run_tensors(samples))

    return run


def tracer(runtime: Runtime, samples: Sequence[Tensors], clock: Clock) -> Callable[[], Traced]:
    """The same, traced."""
    states = [runtime.graph.state(sample) for sample in samples]
    shape = (len(samples), runtime.graph.parts, runtime.bundle.manifest.channels)
    parts = np.ones(shape, np.float32)  # what the head takes does not depend on them

    def fill(i: int, modality: Modality, out: NDArray[np.float32]) -> None:
        np.copyto(out, samples[i][modality])

    def run() -> Traced:
        began = clock()
        trace = runtime.composer.trace(states, fill)
        runtime.head(parts)
        return Traced(clock() - began, trace)

    return run


def latencies(
    runtimes: Runtimes, sample: Tensors, rounds: int, clock: Clock, notify: Notify
) -> Turns[State, str]:
    """One sample in each state, the variants in turn."""
    groups = {
        state: {name: embedder(r, [limited(sample, state)]) for name, r in runtimes.items()}
        for state in graph_of(runtimes).states
    }
    return in_turn(
        groups,
        stretches=STRETCHES,
        runs=shared_out(rounds, STRETCHES),
        clock=clock,
        notify=notify,
    )


def traces(
    runtimes: Runtimes, sample: Tensors, clock: Clock, notify: Notify
) -> dict[State, dict[str, list[list[Traced]]]]:
    """Traced runs of each state and variant, by stretch; the variants in turn."""
    stretches, runs = TRACES
    states = graph_of(runtimes).states
    found: dict[State, dict[str, list[list[Traced]]]] = {
        state: {name: [] for name in runtimes} for state in states
    }
    for stretch in range(stretches):
        for state in states:
            notify(f"tracing {state}, stretch {stretch + 1} of {stretches}")
            sides = {n: tracer(r, [limited(sample, state)], clock) for n, r in runtimes.items()}
            for name, side in sides.items():
                side()  # other things were in the caches
                found[state][name].append([])
            names = list(sides)
            for run in range(runs):
                first = run % len(names)
                for name in names[first:] + names[:first]:
                    found[state][name][-1].append(sides[name]())
    return found


def breakdown(runs: Sequence[Traced]) -> Breakdown:
    """Where the time of traced runs of one state goes."""
    outside = [run.total - covered(_kind(run.trace, "engine")) for run in runs]
    enqueued = [e for run in runs if (e := run.trace.enqueued) is not None]
    engines = {span.name: 0.0 for span in _kind(runs[0].trace, "engine")}
    for name in engines:
        engines[name] = 1e3 * statistics.median(engine_seconds(run, name) for run in runs)

    def spent(kind: str) -> float:
        return 1e3 * statistics.median(covered(_kind(run.trace, kind)) for run in runs)

    return Breakdown(
        runs=len(runs),
        total=1e3 * statistics.median(run.total for run in runs),
        engines=engines,
        upload=spent("upload"),
        copy=spent("copy"),
        download=spent("download"),
        enqueued=1e3 * statistics.median(enqueued) if enqueued else None,
        outside=1e3 * statistics.median(outside),
        share=statistics.median(o / run.total for o, run in zip(outside, runs, strict=True)),
    )


def engine_seconds(run: Traced, engine: str) -> float:
    """How long an engine ran."""
    return sum(s.stop - s.start for s in _kind(run.trace, "engine") if s.name == engine)


def covered(spans: Iterable[Span]) -> float:
    """The seconds in which at least one of `spans` ran."""
    total, until = 0.0, 0.0
    for span in sorted(spans, key=lambda s: s.start):
        total += max(0.0, span.stop - max(span.start, until))
        until = max(until, span.stop)
    return total


def _kind(trace: Trace, kind: str) -> list[Span]:
    return [span for span in trace.spans if span.kind == kind]


def sweep(
    runtimes: Runtimes,
    samples: Sequence[Tensors],
    batches: Sequence[int],
    rounds: int,
    clock: Clock,
    notify: Notify,
) -> Turns[tuple[State, int], str]:
    """Batches of each size in some states, the variants in turn.

    Args:
        runtimes: the variants.
        samples: at least as many as the largest batch.
        batches: the sizes.
        rounds: of the latency of a state; a batch gets a tenth of them.
        clock: to take times with.
        notify: told of each turn.
    """
    groups = {
        (state, size): {
            name: embedder(r, [limited(sample, state) for sample in samples[:size]])
            for name, r in runtimes.items()
        }
        for state in swept(graph_of(runtimes))
        for size in batches
    }
    return in_turn(
        groups,
        stretches=SWEEP,
        runs=shared_out(rounds // 10, SWEEP),
        clock=clock,
        notify=notify,
    )


def joules(side: Side, meter: PowerMeter, clock: Clock = time.perf_counter) -> float | None:
    """The energy of one run, of the whole module; None where its rails do not tell.

    Args:
        side: one run.
        meter: that was not entered yet.
        clock: that ends it after `ENERGY_SECONDS`.
    """
    runs = 0
    with meter:
        began = clock()
        while clock() - began < ENERGY_SECONDS:
            side()
            runs += 1
    energy = meter.energy()
    total = module_total(energy) if energy else None
    return None if total is None else total / runs
