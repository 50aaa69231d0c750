"""Where events go, seen from the node's loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.node.events.event import Event
from runtime.node.stage import Stage


@dataclass(frozen=True)
class Counters:
    """What became of the events of one sink: carried + published = delivered + waiting + set aside
    + dropped.

    Attributes:
        sink: its name: "lines" or "mqtt".
        carried: left on disk by an earlier run.
        published: given to it.
        delivered: written to the file, or acknowledged by the broker.
        waiting: in memory and on disk.
        set_aside: on disk, and not sent: each breaks the connection, or the broker refuses it.
        dropped: how many were given up, by reason.
        connected: whether the file can be written, or the broker is there.
        reason: why the last one was set aside; "" if none was.
    """

    sink: str
    carried: int
    published: int
    delivered: int
    waiting: int
    set_aside: int
    dropped: Mapping[str, int]
    connected: bool
    reason: str = ""


class Sink(Protocol):
    """Takes events. One thread publishes; what is slow happens in threads of the sink's own."""

    def publish(self, event: Event) -> None:
        """Take an event. Never blocks and never raises; what cannot be kept is counted."""

    def snapshot(self) -> Sequence[Counters]:
        """What became of the events so far, for each place they go to."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Its threads that there are now."""

    def close(self, timeout: float = 5.0) -> None:
        """Write and send what is there for as long as `timeout` seconds, then let go.

        What has reached the disk by then stays there, and the next run sends it.
        """
