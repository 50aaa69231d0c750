"""Missing states as files name them, where no graph is at hand."""

from __future__ import annotations

from denet.folders import FOLDERS
from denet.graph import State, StateError


def read_state(name: str) -> State:
    """The state whose name was written as `name`: "rgb+tir".

    Whatever the graph of the model was: a name tells the modalities in its order.

    Raises:
        StateError: it names no modalities that are known, or one twice.
    """
    available = tuple(modality.strip() for modality in name.lower().split("+"))
    if not set(available) <= set(FOLDERS) or len(set(available)) != len(available):
        raise StateError(f"unknown state {name!r}: write modalities as in {'+'.join(FOLDERS)}")
    return State(available)
