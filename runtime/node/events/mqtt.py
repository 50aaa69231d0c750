"""Events to an MQTT broker, through an outbox on disk."""

from __future__ import annotations

import time
from pathlib import Path

from runtime.node.events.broker import NodeBroker, topic
from runtime.node.events.counter import EventCounter
from runtime.node.events.encoding import encode
from runtime.node.events.errors import EventError
from runtime.node.events.event import EVENT_KINDS, Event
from runtime.node.events.event_queue import EventQueue
from runtime.node.events.link import PATIENCE, Lost
from runtime.node.events.outbox import Outbox
from runtime.node.events.relay import OutboxRelay
from runtime.node.events.settings import MqttSettings
from runtime.node.events.sink import Counters
from runtime.node.notify import Notify
from runtime.node.stage import Stage

FULL = "outbox full"


class MqttSink:
    """A `sink.Sink` to a broker.

    Args:
        settings: which broker, and where events wait for it.
        node: the name of the node.
        notify: told once of each change.

    Raises:
        EventError: a setting is wrong, the outbox cannot be used, or the broker is there and
            refuses. One that is away is waited for.
    """

    def __init__(self, settings: MqttSettings, node: str, notify: Notify) -> None:
        broker = NodeBroker(settings, node)
        self._topics = {kind: topic(settings.topic, node=node, kind=kind) for kind in EVENT_KINDS}
        self._notify = notify
        self._failing = False
        self._outbox = Outbox(Path(settings.outbox), settings.outbox_bytes)
        if self._outbox.rescued:
            notify(f"{settings.outbox}: {self._outbox.rescued}")
        carried = self._outbox.waiting + self._outbox.set_aside
        self._counter = EventCounter("mqtt", carried)
        self._counter.set_aside(self._outbox.set_aside)
        self._relay = OutboxRelay(broker, self._outbox, self._counter, notify)
        first = self._relay.first(PATIENCE + 1.0)
        if isinstance(first, Lost) and first.refused:
            self._relay.close(0)
            self._outbox.close()
            raise EventError(f"{broker.name}: {first.reason}")
        self._queue = EventQueue("events to outbox", self._write, self._counter)

    def publish(self, event: Event) -> None:
        """See `sink.Sink`."""
        self._queue.put(event)

    def snapshot(self) -> list[Counters]:
        """See `sink.Sink`."""
        return [self._counter.snapshot()]

    @property
    def stages(self) -> list[Stage]:
        """See `sink.Sink`."""
        return [self._queue.stage, *self._relay.stages]

    def close(self, timeout: float = 5.0) -> None:
        """See `sink.Sink`."""
        end = time.monotonic() + timeout
        self._queue.close(timeout)
        self._relay.close(max(0.0, end - time.monotonic()))
        self._outbox.close()

    def _write(self, events: list[Event]) -> None:
        messages = []
        defect: Exception | None = None
        for event in events:
            try:
                messages.append((self._topics[event.kind], encode(event)))
            except EventError as error:
                self._counter.dropped(str(error), 1)
            except Exception as error:  # it costs this event alone, and is not hidden
                self._counter.dropped(type(error).__name__, 1)
                defect = error
        try:
            dropped = self._outbox.add(messages)
        except EventError as error:
            self._counter.dropped(str(error).removeprefix(f"{self._outbox.path}: "), len(messages))
            if not self._failing:
                self._notify(f"events are lost: {error}")
            self._failing = True
            return
        except Exception as error:
            self._counter.dropped(type(error).__name__, len(messages))
            raise
        self._counter.dropped(FULL, dropped)
        if dropped:
            self._counter.set_aside(self._outbox.set_aside)
        if self._failing:
            self._notify(f"{self._outbox.path}: written again")
            self._failing = False
        self._relay.signals.put(None)
        if defect is not None:
            raise defect
