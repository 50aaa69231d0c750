"""From times to what a report says of states, engines and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from denet.graph import Graph, State
from runtime.benchmark.costs import BatchCost, EngineCost, Limit, StateCost
from runtime.benchmark.result import Variant
from runtime.benchmark.states import Runtimes, Traced, breakdown, engine_seconds
from runtime.benchmark.stats import NOISY, Ratio, Timing, joined, ratio, throughput, timing
from runtime.benchmark.turns import Turns

WORST = 3
"""How many noisy times a note names."""

Runs = Mapping[State, Mapping[str, Sequence[Sequence[Traced]]]]
"""Traced runs by state and variant, in stretches."""

GetLimit = Callable[[str, str, State, float], "Limit | None"]
"""(variant, engine, state, milliseconds) -> the engine's limit."""


def state_costs(
    name: str,
    turns: Turns[State, str],
    traced: Runs,
    joules: Mapping[tuple[State, str], float | None],
    maps: Mapping[str, float],
) -> dict[str, StateCost]:
    """What each state costs in the variant `name`; the first of them is compared with. `maps` is
    the mAP of each state in it, where that is known."""
    costs: dict[str, StateCost] = {}
    for state, times in turns.times.items():
        costs[state.name] = StateCost(
            latency=timing(times[name]),
            against_first=_against_first(name, times),
            breakdown=breakdown([run for stretch in traced[state][name] for run in stretch]),
            joules=joules.get((state, name)),
            map=maps.get(state.name),
        )
    return costs


def _against_first(name: str, times: Mapping[str, Sequence[Sequence[float]]]) -> Ratio | None:
    first = next(iter(times))
    return None if name == first else ratio(joined(times[name]), joined(times[first]))


def engine_costs(
    name: str, runtimes: Runtimes, traced: Runs, get_limit: GetLimit
) -> dict[str, EngineCost]:
    """What each engine costs in the variant `name`, inside the first state that runs it."""
    runtime = runtimes[name]
    costs: dict[str, EngineCost] = {}
    for engine in runtime.graph.engines:
        state = first_state(runtime.graph, engine)
        times = {
            variant: [[engine_seconds(run, engine) for run in stretch] for stretch in stretches]
            for variant, stretches in traced[state].items()
        }
        taken = timing(times[name])
        form = runtime.forms[engine]
        costs[engine] = EngineCost(
            form=form,
            state=state.name,
            timing=taken,
            against_first=_against_first(name, times),
            bytes=runtime.bundle.manifest.engines[engine].files[form].bytes,
            limit=get_limit(name, engine, state, taken.p50),
        )
    return costs


def first_state(graph: Graph, engine: str) -> State:
    """The first state that runs an engine."""
    return next(state for state in graph.states if engine in graph.plan(state).engines)


def batch_costs(name: str, turns: Turns[tuple[State, int], str]) -> dict[str, dict[int, BatchCost]]:
    """What each batch costs in the variant `name`, by state."""
    costs: dict[str, dict[int, BatchCost]] = {}
    for (state, size), times in turns.times.items():
        taken = timing(times[name])
        costs.setdefault(state.name, {})[size] = BatchCost(
            timing=taken, per_second=throughput(taken, size)
        )
    return costs


def quoted(variant: Variant) -> Iterator[tuple[str, Timing]]:
    """The times of a variant that a person would quote, with what they are of."""
    for state, cost in variant.states.items():
        yield state, cost.latency
    for state, batches in variant.batches.items():
        for size, batch in batches.items():
            yield f"{state} in batches of {size}", batch.timing
    if variant.stream is not None:
        yield "the stream", variant.stream.batched
    for state, taken in variant.end_to_end.items():
        yield f"{state} from image files", taken


def noise_notes(variants: Mapping[str, Variant]) -> list[str]:
    """A sentence for each variant of which something is too noisy to quote, the worst first."""
    notes = []
    for name, variant in variants.items():
        every = list(quoted(variant))
        noisy = sorted((item for item in every if item[1].noisy), key=lambda i: -i[1].spread)
        if noisy:
            worst = ", ".join(f"{what} {t.spread:.0%}" for what, t in noisy[:WORST])
            notes.append(
                f"{name}: {len(noisy)} of {len(every)} times are too noisy to quote (a spread "
                f"over {NOISY:.0%}): {worst}{', ...' if len(noisy) > WORST else ''}"
            )
    return notes
