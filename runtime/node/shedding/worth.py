"""What the states of a bundle are worth, by what is measured of them in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

    The mAP of the model card, on people whom the network has not learned from; else that of a
    calibration with labels, or of a projection; else the share of the pairs of one person that
    scores find against entries in the complete state. The first that knows every state is taken.

    Raises:
        NodeError: nothing of it is in the bundle; says what to run.
    """
    for what, known in _measured(manifest, graph, scores):
        if all(state.name in known for state in graph.states):
            return {state: known[state.name] for state in graph.states}, what
    raise NodeError(
        "batches.overload: nothing in the bundle says what its states are worth: export it with "
        "--test-data, or run `denet calibrate BUNDLE DATA` with labelled data, or `denet gallery "
        "calibrate BUNDLE DATA`"
    )


def _measured(
    manifest: Manifest, graph: Graph, scores: Scores | None
) -> Iterator[tuple[str, Mapping[str, float]]]:
    tested = manifest.model_card.tested
    if tested is not None and tested.projection == manifest.projection_digest:
        maps = {name: map_ for name, (map_, _) in tested.states.items()}
        yield f"mAP on the test split of {tested.data}", maps
    for platform in PLATFORMS:
        yield f"mAP of mixed-{platform}", manifest.maps(f"mixed-{platform}")
    if manifest.head.projection is not None:
        after = {name: maps[1] for name, maps in manifest.head.projection.map.items()}
        yield "mAP of the projection", after
    if scores is not None:
        shares = scores.found(max(RATE, scores.least_rate))
        found = {q.name: 100 * share for (q, g), share in shares.items() if g == graph.complete}
        yield "genuine pairs that the scores find", found
