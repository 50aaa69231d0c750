"""Several sinks as one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from runtime.node.events.event import Event
from runtime.node.events.sink import Counters, Sink
from runtime.node.stage import Stage


class Fanout:
    """A `sink.Sink` that gives each event to all of `sinks`; they may be none."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def publish(self, event: Event) -> None:
        """See `sink.Sink`."""
        for sink in self._sinks:
            sink.publish(event)

    def snapshot(self) -> list[Counters]:
        """See `sink.Sink`."""
        return [counters for sink in self._sinks for counters in sink.snapshot()]

    @property
    def stages(self) -> list[Stage]:
        """See `sink.Sink`."""
        return [stage for sink in self._sinks for stage in sink.stages]

    def close(self, timeout: float = 5.0) -> None:
        """See `sink.Sink`; the time is for all of them together."""
        end = time.monotonic() + timeout
        for sink in self._sinks:
            sink.close(max(0.0, end - time.monotonic()))
