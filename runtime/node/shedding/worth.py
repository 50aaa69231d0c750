"""What the states of a bundle are worth, by what is measured of them in it."""

from __future__ import annotations

from collections.abc import Mapping

from denet.graph import Graph, State
from runtime.bundle.forms import PLATFORMS
from runtime.bundle.manifest import Manifest
from runtime.gallery import Scores
from runtime.node.errors import NodeError

RATE = 0.01
"""False-match rate at which it is asked what share of genuine pairs a state finds."""


def worth_of_states(
    manifest: Manifest, graph: Graph, scores: Scores | None
) -> tuple[dict[State, float], str]:
    """What each state is worth, in per cent, and what that is.

    The mAP of a calibration with labels, of a projection, or the share of the pairs of one person
    that scores find against entries in the complete state: the first that knows every state.

    Raises:
        NodeError: nothing of it is in the bundle; says what to run.
    """
    for platform in PLATFORMS:
        mixed = manifest.mixed.get(platform)
        if mixed is not None and mixed.labelled:
            known = {name: each.map for name, each in mixed.states.items()}
            found = _complete(graph, known)
            if found is not None:
                return found, f"mAP of mixed-{platform}"
    if manifest.head.projection is not None:
        after = {name: maps[1] for name, maps in manifest.head.projection.map.items()}
        found = _complete(graph, after)
        if found is not None:
            return found, "mAP of the projection"
    if scores is not None:
        shares = scores.found(max(RATE, scores.least_rate))
        found = _complete(
            graph,
            {q.name: 100 * share for (q, g), share in shares.items() if g == graph.complete},
        )
        if found is not None:
            return found, "genuine pairs that the scores find"
    raise NodeError(
        "batches.overload: nothing in the bundle says what its states are worth: run `denet "
        "calibrate BUNDLE DATA` with labelled data, or `denet gallery calibrate BUNDLE DATA`"
    )


def _complete(graph: Graph, known: Mapping[str, float | None]) -> dict[State, float] | None:
    found = {state: known.get(state.name) for state in graph.states}
    return (
        {s: w for s, w in found.items() if w is not None}
        if all(w is not None for w in found.values())
        else None
    )
