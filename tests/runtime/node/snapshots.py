"""A node at a moment at which nothing has happened, to be replaced in part."""

from __future__ import annotations

from runtime.node.backlog import Account
from runtime.node.latency import Latencies
from runtime.node.snapshot import NodeSnapshot

QUIET = NodeSnapshot(
    time=0,
    running=1,
    assessment=None,
    frames={},
    triplets=Account(),
    crops=Account(),
    events=[],
    batches=0,
    matched=0,
    latency=Latencies().snapshot(),
    bundle="b",
    unmatched="",
    swaps=0,
    refused=0,
    stages={},
)
