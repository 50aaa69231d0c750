"""The words under the figures."""

from __future__ import annotations

from denet.figures.choice import shown_states
from denet.graph import Graph

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def captions(graph: Graph) -> dict[str, str]:
    """What is seen, by the name of the figure.

    Args:
        graph: of the modalities that the models have.
    """
    return {
        "states": "mAP where query and gallery are both in one missing state.",
        "rates": (
            f"A share of the samples, query and gallery alike, lost {_some(graph)}, drawn at "
            "random."
        ),
        "ranking": (
            "What each query finds, the most similar first: green is the same identity, red "
            "another. Query and gallery are in the same state; the query's own camera does not "
            "count."
        ),
        "clusters": (
            f"t-SNE of the embeddings of test identities, in {_states(graph)}: a colour for each "
            "identity, a marker for each camera."
        ),
        "recovered": (
            "What each modality looks like as recovered from another one, by the "
            f"{_word(len(graph.pairs))} CMFTs. What is noise to a person need not be: the network "
            "looks at the features of these images alone."
        ),
        "activation": (
            "The places that pull a sample's embedding towards its identity as other cameras saw "
            "it, and away from the mean of all (Grad-CAM of the cosine). Each map is as bright as "
            "its own highest place; the share is the modality's part of all that pulls."
        ),
    }


def _some(graph: Graph) -> str:
    """How many modalities a sample may lose."""
    most = len(graph.modalities) - 1
    if most < 2:
        return f"{_word(most)} modality"
    return f"one {'or' if most == 2 else 'to'} {_word(most)} modalities"


def _states(graph: Graph) -> str:
    count = len(shown_states(graph))
    return f"{_word(count)} state{'s' if count > 1 else ''}"


def _word(count: int) -> str:
    return _WORDS[count] if count < len(_WORDS) else str(count)
