"""The modalities in whose frames persons are looked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from denet.graph import Modality
from runtime.node.errors import NodeError


def chosen_modalities(
    wanted: Sequence[Modality] | None, known: Sequence[Modality], key: str
) -> tuple[Modality, ...]:
    """Those that are wanted, in the order of the node's; all where nothing is said.

    Args:
        wanted: of the setting; None for all.
        known: that the node has sources of.
        key: of the section, for messages.

    Raises:
        NodeError: one has no source, or the list is empty.
    """
    if wanted is None:
        return tuple(known)
    if not wanted:
        raise NodeError(f"{key}.modalities: names none: remove it for all")
    check_modalities(wanted, known, f"{key}.modalities")
    return tuple(m for m in known if m in wanted)


def check_modalities(given: Collection[Modality], known: Sequence[Modality], key: str) -> None:
    """See that all are known. Raises: NodeError: one is not; names it."""
    for m in given:
        if m not in known:
            raise NodeError(f"{key}: {m}: is not there: choose from {', '.join(known)}")
