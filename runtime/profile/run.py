"""A profile: each state once as it runs, and once more with every layer observed.

Observing slows an engine down, and on TensorRT it ends that engines run beside each other. So what
a state and an engine cost is taken from runs that are only traced, and what share of an engine a
layer has from observed ones.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from denet import __version__
from denet.graph import State
from runtime.backends.base import BackendError, LayerRun
from runtime.benchmark.inputs import limited, network_inputs
from runtime.benchmark.run import measured
from runtime.benchmark.states import Traced, breakdown, tracer
from runtime.benchmark.turns import Clock, Notify
from runtime.benchmark.watch import Watch
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Forms
from runtime.profile.layers import engine_layers
from runtime.profile.result import EngineLayers, ProfileReport, StateProfile
from runtime.profile.timeline import ObservedRun, ProfileTrace, StateTrace
from runtime.profile.weights import weights_of_nodes
from runtime.runtime import Runtime

WARM = 3
"""Runs of a state that do not count, before those that do."""

SEED = 0


@dataclass(frozen=True)
class ProfileRequest:
    """What is to be profiled, and how.

    Attributes:
        backend: by name.
        precision: by name.
        threads: CPU threads; None for the runtime's own choice.
        key: of those that the bundle may be signed by.
        states: by name; None for all.
        batch: samples at once, all in one state.
        rounds: runs of each state that count, of each kind.
    """

    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    key: Path | None = None
    states: tuple[str, ...] | None = None
    batch: int = 1
    rounds: int = 20


def profile(
    bundle: Bundle | Path | str,
    request: ProfileRequest,
    *,
    clock: Clock = time.perf_counter,
    notify: Notify = lambda _: None,
) -> tuple[ProfileReport, ProfileTrace]:
    """Profile a bundle on this machine.

    Args:
        bundle: the bundle, or the path of its directory.
        request: what to profile.
        clock: seconds.
        notify: told what is being done.

    Returns:
        The report, and the last run of each state on one line of time.

    Raises:
        StateError: there is no state of that name.
        BundleError, BackendError, CanaryError: the bundle, or a backend or precision, cannot be
            used; or the backend does not tell of layers.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    graph = opened.graph
    names = graph.states if request.states is None else map(graph.parse, request.states)
    states = tuple(dict.fromkeys(names))
    samples = network_inputs(opened.manifest.preprocessing, request.batch, SEED)
    watch = Watch()

    def traced(runtime: Runtime, state: State, what: str) -> list[Traced]:
        run = tracer(runtime, [limited(sample, state) for sample in samples], clock)
        notify(f"{what} {state}")
        return [run() for _ in range(WARM + request.rounds)]

    notify("loading")
    with _load(opened, request) as runtime:
        runtime.prepare(states)
        runtime.check(states, samples=1)  # how fast something wrong is says nothing
        _check_batch(runtime, request.batch)
        plain = {state: traced(runtime, state, "tracing") for state in states}
        watch.look()
    with _load(opened, request) as observer:
        observer.composer.backend.observe_layers()
        observer.prepare(states)
        slower = {state: traced(observer, state, "observing the layers of") for state in states}
        noted = {e: iter(runs) for e, runs in observer.composer.backend.observed_layers().items()}
    observed = {state: [_layered(run, noted) for run in runs] for state, runs in slower.items()}
    weights = {e: weights_of_nodes(opened.read_engine(e, runtime.forms[e])) for e in noted}
    report = ProfileReport(
        format="denet-profile",
        schema=1,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        bundle=measured(opened),
        machine=watch.snapshot(),
        backend=runtime.backend,
        precision=runtime.variant,
        reason=runtime.reason,
        threads=request.threads,
        batch=request.batch,
        rounds=request.rounds,
        states={
            state.name: StateProfile(
                breakdown=breakdown(plain[state][WARM:]),
                engines=_engines(observed[state][WARM:], runtime.forms, weights),
            )
            for state in states
        },
        notes=tuple(filter(None, (watch.busy(),))),
    )
    last = tuple(StateTrace(s.name, plain[s][-1], observed[s][-1]) for s in states)
    return report, ProfileTrace(report, last)


def _load(bundle: Bundle, request: ProfileRequest) -> Runtime:
    return Runtime.load(
        bundle,
        request.backend,
        request.precision,
        threads=request.threads,
        max_batch=request.batch,
        key=request.key,
    )


def _check_batch(runtime: Runtime, batch: int) -> None:
    """See that a batch is run at once.

    Raises:
        BackendError: it is larger than what the engines take.
    """
    if runtime.max_batch < batch:
        raise BackendError(
            f"{runtime.backend}: the engines take batches of {runtime.max_batch} at most, not of "
            f"{batch}: profile a smaller --batch, or build them for larger ones"
        )


def _layered(run: Traced, noted: Mapping[str, Iterator[tuple[LayerRun, ...]]]) -> ObservedRun:
    """An observed run with the layers of its engines: what was noted stands in the order in which
    engines ran."""
    ran = [span.name for span in run.trace.spans if span.kind == "engine"]
    return ObservedRun(run.trace.spans, {engine: next(noted[engine]) for engine in ran})


def _engines(
    runs: Sequence[ObservedRun], forms: Forms, weights: Mapping[str, Mapping[str, str]]
) -> dict[str, EngineLayers]:
    """What the layers of each engine of a state cost."""
    return {
        engine: engine_layers(
            forms[engine],
            [run.layers[engine] for run in runs],
            statistics.median(run.seconds(engine) for run in runs),
            weights[engine],
        )
        for engine in runs[0].layers
    }
