"""One head of a configuration, as if the node had no other."""

from __future__ import annotations

from msgspec.structs import replace

from runtime.node.errors import NodeError
from runtime.node.settings import NodeSettings


def one_head(settings: NodeSettings, name: str | None) -> NodeSettings:
    """The configuration of a node that has but one head.

    Args:
        settings: of the whole node.
        name: of the head; None where there is only one.

    Raises:
        NodeError: there is no such head, or it has to be named.
    """
    names = ", ".join(head.name for head in settings.heads)
    if not settings.heads:
        if name is not None:
            raise NodeError(f"--head {name}: the configuration has no [[heads]]: leave it out")
        return settings
    if name is None and len(settings.heads) > 1:
        raise NodeError(f"--head: is missing: name one of {names}")
    found = [head for head in settings.heads if name in (None, head.name)]
    if not found:
        raise NodeError(f"--head {name}: there is no such head: choose from {names}")
    head = found[0]
    return replace(
        settings,
        heads=(),
        sources=head.sources,
        timing=head.timing,
        health=head.health,
        boxes=head.boxes,
        tracks=head.tracks,
    )
