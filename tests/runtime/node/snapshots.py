"""A node at a moment at which nothing has happened, to be replaced in part."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from runtime.node.backlog import Account
from runtime.node.head.snapshot import HeadSnapshot
from runtime.node.latency import Latencies
from runtime.node.snapshot import NodeSnapshot

NONE = Latencies().snapshot()

QUIET_HEAD = HeadSnapshot("", None, {}, Account(), Account(), NONE)

QUIET = NodeSnapshot(
    time=0,
    running=1,
    heads=[QUIET_HEAD],
    events=[],
    batches=0,
    latency=NONE,
    bundle="b",
    unmatched="",
    swaps=0,
    refused=0,
    stages={},
)


def quiet(**changes: Any) -> NodeSnapshot:
    """One head without a name, of which, or of whose node, some things are others."""
    of_node = {field.name for field in fields(NodeSnapshot)}
    head = {name: value for name, value in changes.items() if name not in of_node}
    node = {name: value for name, value in changes.items() if name in of_node}
    return replace(QUIET, heads=[replace(QUIET_HEAD, **head)], **node)
