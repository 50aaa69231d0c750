"""One function for each part of a benchmark: what it adds to each variant of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from denet.graph import State
from runtime.backends.onnxruntime.providers import PROVIDERS
from runtime.benchmark import limits
from runtime.benchmark.assemble import batch_costs, engine_costs, state_costs
from runtime.benchmark.child import Asked
from runtime.benchmark.costs import Limit, Roofs
from runtime.benchmark.images import end_to_end
from runtime.benchmark.inputs import Files, Tensors, limited
from runtime.benchmark.monolith import BATCHES, monolith_costs
from runtime.benchmark.request import MOST_BATCH, BenchmarkRequest
from runtime.benchmark.roofs import measure_roofs
from runtime.benchmark.start import start_costs
from runtime.benchmark.states import Runtimes, embedder, joules, latencies, sweep, traces
from runtime.benchmark.stats import timing
from runtime.benchmark.stream import BATCH, dropout_costs, stream_cost
from runtime.benchmark.turns import Clock, Notify
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form
from runtime.machine import PowerMeter
from runtime.runtime import Runtime

Fields = Mapping[str, Mapping[str, Any]]
"""What a part found: for each variant, fields of `result.Variant`."""


@dataclass(frozen=True)
class Workload:
    """What is measured, and how.

    Attributes:
        bundle: that all variants run.
        request: what was asked.
        runtimes: the variants by name, every state prepared.
        samples: complete ones, as many as the largest batch.
        files: the image files of samples.
        clock: to take times with.
        notify: told what is being done.
        notes: gathers what a person should know.
    """

    bundle: Bundle
    request: BenchmarkRequest
    runtimes: Runtimes
    samples: Sequence[Tensors]
    files: Sequence[Files]
    clock: Clock
    notify: Notify
    notes: list[str]

    @property
    def largest(self) -> int:
        """The largest batch that every variant takes at once."""
        backends = [runtime.composer.backend for runtime in self.runtimes.values()]
        return min(backend.largest_batch or MOST_BATCH for backend in backends)

    def batches(self, sizes: Sequence[int]) -> list[int]:
        """Those of `sizes` that every variant takes at once."""
        return [size for size in sizes if size <= self.largest]


def measure_states(work: Workload, roofs: Mapping[str, Roofs], *, energy: bool) -> Fields:
    """Every state and every engine, at batch 1.

    Args:
        work: what is measured.
        roofs: of backends whose limits are known.
        energy: whether the machine measures its power.
    """
    sample, clock, notify = work.samples[0], work.clock, work.notify
    turns = latencies(work.runtimes, sample, work.request.rounds, clock, notify)
    for state, name in turns.unsettled:
        work.notes.append(f"{name}, {state}: did not settle while it was warmed up")
    traced = traces(work.runtimes, sample, clock, notify)
    taken: dict[tuple[State, str], float | None] = {}
    if energy:
        for state in work.bundle.graph.states:
            for name, runtime in work.runtimes.items():
                notify(f"energy of {state}")
                side = embedder(runtime, [limited(sample, state)])
                taken[state, name] = joules(side, PowerMeter(), clock)
    get_limit = partial(_limit, work, roofs, cache(partial(_count, work)))
    return {
        name: {
            "states": state_costs(name, turns, traced, taken, _maps(runtime)),
            "engines": engine_costs(name, work.runtimes, traced, get_limit),
        }
        for name, runtime in work.runtimes.items()
    }


def _maps(runtime: Runtime) -> dict[str, float]:
    return runtime.bundle.manifest.maps(runtime.variant)


def _count(work: Workload, engine: str, form: Form, targets: int) -> limits.Count:
    spec = work.bundle.manifest.engines[engine]
    shapes = limits.engine_shapes(spec, batch=1, targets=targets)
    return limits.count(work.bundle.read_engine(engine, form), shapes)


def _limit(
    work: Workload,
    roofs: Mapping[str, Roofs],
    count: Callable[[str, Form, int], limits.Count],
    name: str,
    engine: str,
    state: State,
    ms: float,
) -> Limit | None:
    """An engine's limit, where the roofs of its backend are known."""
    runtime = work.runtimes[name]
    form, engines = runtime.forms[engine], work.bundle.manifest.engines
    roof = roofs.get(runtime.backend)
    if roof is None or (precision := _precision(runtime, form)) is None:
        return None
    return limits.limit(
        count(engine, form, limits.targets_in(runtime.graph, engine, state)),
        roof,
        precision,
        sum(engines[e].files[runtime.forms[e]].bytes for e in runtime.graph.plan(state).engines),
        ms,
    )


def _precision(runtime: Runtime, form: Form) -> str | None:
    """The precision whose matrix rate bounds an engine."""
    return limits.rate_of(form, on_cpu=PROVIDERS[runtime.backend].is_cpu)


def measure_limits(work: Workload, threads: int) -> dict[str, Roofs]:
    """The roofs of every backend of ONNX Runtime, in the precisions of its variants."""
    precisions: dict[str, dict[str, None]] = {}
    for runtime in work.runtimes.values():
        if runtime.backend not in PROVIDERS:
            work.notes.append(f"{runtime.backend}: what it can do at best is not measured")
            continue
        mine = precisions.setdefault(runtime.backend, {})
        for form in runtime.forms.values():
            if (precision := _precision(runtime, form)) is not None:
                mine[precision] = None
    return {
        backend: measure_roofs(list(mine), PROVIDERS[backend], threads, work.clock, work.notify)
        for backend, mine in precisions.items()
    }


def measure_batches(work: Workload) -> Fields:
    """Throughput against batch."""
    sizes = work.batches(work.request.batches)
    if left := sorted(set(work.request.batches) - set(sizes)):
        work.notes.append(f"batches of {', '.join(map(str, left))} are more than an engine takes")
    turns = sweep(work.runtimes, work.samples, sizes, work.request.rounds, work.clock, work.notify)
    return {name: {"batches": batch_costs(name, turns)} for name in work.runtimes}


def measure_stream(work: Workload) -> Fields:
    """A stream in mixed states."""
    if work.largest < BATCH:
        work.notes.append(f"no stream was measured: batches of {BATCH} are more than is taken")
        return {}
    states = work.request.stream
    return {
        name: {"stream": stream_cost(runtime, work.samples, states, work.clock, work.notify)}
        for name, runtime in work.runtimes.items()
    }


def measure_dropouts(work: Workload) -> Fields:
    """A camera that dies."""
    found = {}
    for name, runtime in work.runtimes.items():
        load = partial(
            Runtime.load,
            work.bundle,
            runtime.backend,
            runtime.precision,
            threads=work.request.threads,
        )
        costs = dropout_costs(
            load, runtime.graph, work.samples[0], work.request.repeats, work.clock, work.notify
        )
        found[name] = {"dropouts": costs}
    return found


def measure_starts(work: Workload) -> Fields:
    """Cold starts and memory."""
    batch = max(work.batches(work.request.batches))
    return {
        name: {
            "starts": start_costs(
                Asked(
                    bundle=str(Path(work.bundle.root).absolute()),
                    backend=runtime.backend,
                    precision=runtime.precision,
                    threads=work.request.threads,
                    states=(),
                    batch=1,
                ),
                runtime.graph,
                batch,
                work.request.repeats,
                notify=work.notify,
            )
        }
        for name, runtime in work.runtimes.items()
    }


def measure_end_to_end(work: Workload) -> Fields:
    """From image files to embeddings."""
    turns = end_to_end(
        work.runtimes, work.files[0], work.request.rounds, work.clock, work.notify
    ).times
    return {
        name: {"end_to_end": {state.name: timing(times[name]) for state, times in turns.items()}}
        for name in work.runtimes
    }


def measure_monoliths(work: Workload, graphs: Mapping[State, Path]) -> Fields:
    """The first variant beside graphs of whole states.

    Raises:
        BenchmarkError: they are not of the same model and precision.
    """
    name, runtime = next(iter(work.runtimes.items()))
    costs = monolith_costs(
        runtime,
        graphs,
        work.samples,
        work.batches(BATCHES),
        work.request.rounds,
        work.clock,
        work.notify,
    )
    return {name: {"monoliths": costs}}
