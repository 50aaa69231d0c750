"""From what a library noted of each run to what each layer of an engine costs."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from runtime.backends.base import LayerRun
from runtime.profile.result import EngineLayers, LayerCost
from runtime.profile.weights import weights_of

Key = tuple[str, str, int]
"""Name, operator, and which of those that share both: ONNX Runtime names some alike."""


def engine_layers(
    form: str,
    runs: Sequence[Sequence[LayerRun]],
    seconds: float,
    weights: Mapping[str, str],
) -> EngineLayers:
    """What the layers of an engine cost.

    Args:
        form: of the engine.
        runs: the layers of each run, at least one.
        seconds: of the engine as a whole, its layers observed.
        weights: of the nodes of its ONNX graph, by name.
    """
    times: dict[Key, list[float]] = defaultdict(list)
    for run in runs:
        seen: Counter[tuple[str, str]] = Counter()
        for layer in run:
            times[layer.name, layer.operator, seen[layer[:2]]].append(layer.seconds)
            seen[layer[:2]] += 1
    medians = {key: statistics.median(taken) for key, taken in times.items()}
    total = sum(medians.values())
    return EngineLayers(
        form=form,
        ms=1e3 * seconds,
        layers=tuple(
            LayerCost(
                name=name,
                operator=operator,
                weights=weights_of(name, weights),
                ms=1e3 * taken,
                share=taken / total if total else 0.0,
            )
            for (name, operator, _), taken in medians.items()
        ),
    )
