"""A stream of samples in mixed missing states, and one in which a camera dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from denet.graph import Graph, Modality, State
from runtime.benchmark.costs import DropoutCost, StreamCost
from runtime.benchmark.inputs import Tensors, limited
from runtime.benchmark.stats import joined, ratio, repeated, timing
from runtime.benchmark.turns import Clock, Notify, Side, in_turn, timed
from runtime.runtime import Runtime

BATCH = 16
"""Samples of a stream that are gathered before they are embedded."""

STRETCHES, RUNS = 5, 4
"""Batches of a stream are timed in that many stretches of that many runs."""

SAMPLES = BATCH * (STRETCHES * (RUNS + 1) + 1)
"""How many states a stream needs: no batch is run twice, since one that was seen before costs no
planning. The first of a stretch does not count, nor does one that warms up."""

FRAMES = 25
"""Frames before and after a camera dies."""

Load = Callable[[], Runtime]
"""Loads the variant that is measured once more, with nothing prepared."""


def stream_cost(
    runtime: Runtime,
    samples: Sequence[Tensors],
    states: Sequence[State],
    clock: Clock = time.perf_counter,
    notify: Notify = lambda _: None,
) -> StreamCost:
    """What a stream costs in three ways, which run in turn on the same samples.

    Args:
        runtime: with all states prepared.
        samples: at least `BATCH`.
        states: of the stream, at least `SAMPLES`.
        clock: to take times with.
        notify: told of each turn.
    """
    batches = [
        [limited(samples[i], state) for i, state in enumerate(states[start : start + BATCH])]
        for start in range(0, SAMPLES, BATCH)
    ]
    embed = runtime.composer.run_tensors

    def single(batch: list[Tensors]) -> None:
        for sample in batch:
            runtime.head(embed([sample]))

    def by_state(batch: list[Tensors]) -> None:
        for state in runtime.graph.states:
            if mine := [s for s in batch if runtime.graph.state(s) == state]:
                runtime.head(embed(mine))

    def batched(batch: list[Tensors]) -> None:
        runtime.head(embed(batch))

    def side(way: Callable[[list[Tensors]], None]) -> Side:
        rest: Iterator[list[Tensors]] = iter(batches)
        way(next(rest))
        return lambda: way(next(rest))

    notify("warming up the stream")
    sides = {"batched": side(batched), "single": side(single), "by state": side(by_state)}
    turns = in_turn(
        {"stream": sides}, stretches=STRETCHES, runs=RUNS, clock=clock, notify=notify, warm=False
    ).times["stream"]
    each = {
        way: [[t / BATCH for t in stretch] for stretch in stretches]
        for way, stretches in turns.items()
    }
    # Batches differ in their states, so only the same batch can be compared with itself.
    return StreamCost(
        samples=BATCH * STRETCHES * RUNS,
        batch=BATCH,
        batched=timing(each["batched"]),
        single=timing(each["single"]),
        by_state=timing(each["by state"]),
        over_single=ratio(joined(each["single"]), joined(each["batched"])),
        over_by_state=ratio(joined(each["by state"]), joined(each["batched"])),
    )


def dropout_costs(
    load: Load,
    graph: Graph,
    sample: Tensors,
    repeats: int,
    clock: Clock = time.perf_counter,
    notify: Notify = lambda _: None,
) -> dict[Modality, DropoutCost]:
    """What it costs that a camera dies in a stream of complete samples, for each of them.

    Every repeat loads the bundle anew, once prepared for all states and once for the complete one
    alone; then one camera after the other dies and comes back.

    Args:
        load: loads the bundle.
        graph: of the bundle.
        sample: a complete one.
        repeats: deaths of each camera.
        clock: to take times with.
        notify: told of each repeat.
    """
    before: dict[Modality, list[list[float]]] = {m: [] for m in graph.modalities}
    after: dict[Modality, list[list[float]]] = {m: [] for m in graph.modalities}
    cold: dict[Modality, list[float]] = {m: [] for m in graph.modalities}
    for repeat in range(repeats):
        notify(f"a camera dies, {repeat + 1} of {repeats}")
        for prepared in (graph.states, (graph.complete,)):
            with load() as runtime:
                runtime.prepare(prepared)
                for lost in losable(graph):
                    all_of_it = _frame(runtime, sample, graph.complete)
                    less = _frame(runtime, sample, without(graph, lost))
                    for _ in range(FRAMES):
                        all_of_it()  # warms up
                    if prepared == graph.states:
                        before[lost].append([timed(all_of_it, clock) for _ in range(FRAMES)])
                        after[lost].append([timed(less, clock) for _ in range(FRAMES)])
                    else:
                        cold[lost].append(timed(less, clock))
    whole = set(graph.engines_of([graph.complete]))
    return {
        lost: DropoutCost(
            lost=lost,
            state=without(graph, lost).name,
            engines=len(set(graph.engines_of([without(graph, lost)])) - whole),
            before=timing(before[lost]),
            around=timing([a + b for a, b in zip(before[lost], after[lost], strict=True)]),
            after=timing(after[lost]),
            first=repeated([1e3 * frames[0] for frames in after[lost]]),
            first_cold=repeated([1e3 * seconds for seconds in cold[lost]]),
        )
        for lost in losable(graph)
    }


def losable(graph: Graph) -> tuple[Modality, ...]:
    """The modalities without which something is left: all, or none where there is one."""
    return graph.modalities if len(graph.modalities) > 1 else ()


def without(graph: Graph, lost: Modality) -> State:
    """The state in which `lost` alone is missing."""
    return graph.state(m for m in graph.modalities if m != lost)


def _frame(runtime: Runtime, sample: Tensors, state: State) -> Side:
    given = limited(sample, state)
    return lambda: runtime.head(runtime.composer.run_tensors([given]))
