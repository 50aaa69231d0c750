"""Events to an MQTT broker, through an outbox on disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from runtime.node.events.broker import Broker, topic
from runtime.node.events.courier import Courier
from runtime.node.events.encoding import encode
from runtime.node.events.errors import EventError
from runtime.node.events.event import Event
from runtime.node.events.link import PATIENCE, Lost
from runtime.node.events.mailbox import Mailbox
from runtime.node.events.outbox import Outbox
from runtime.node.events.settings import MqttSettings
from runtime.node.events.sink import Counters
from runtime.node.events.tally import Tally

FULL = "outbox full"


class MqttSink:
    """A `sink.Sink` to a broker.

    Args:
        settings: which broker, and where events wait for it.
        node: the name of the node.
        say: told once of each change.

    Raises:
        EventError: a setting is wrong, the outbox cannot be used, or the broker is there and
            refuses. One that is away is waited for.
    """

    def __init__(self, settings: MqttSettings, node: str, say: Callable[[str], None]) -> None:
        broker = Broker(settings, node)
        self._topics = {
            kind: topic(settings.topic, node=node, kind=kind) for kind in ("embedding", "notice")
        }
        self._say = say
        self._failing = False
        self._outbox = Outbox(Path(settings.outbox), settings.outbox_bytes)
        self._tally = Tally("mqtt", carried=self._outbox.waiting)
        self._courier = Courier(broker, self._outbox, self._tally, say)
        first = self._courier.first(PATIENCE + 1.0)
        if isinstance(first, Lost) and first.refused:
            self._courier.close(0)
            self._outbox.close()
            raise EventError(f"{broker.name}: {first.reason}")
        self._mailbox = Mailbox("events to outbox", self._write, self._tally)

    def publish(self, event: Event) -> None:
        """See `sink.Sink`."""
        self._mailbox.put(event)

    def counters(self) -> list[Counters]:
        """See `sink.Sink`."""
        return [self._tally.counters()]

    def close(self, timeout: float = 5.0) -> None:
        """See `sink.Sink`."""
        end = time.monotonic() + timeout
        self._mailbox.close(timeout)
        self._courier.close(max(0.0, end - time.monotonic()))
        self._outbox.close()

    def _write(self, events: list[Event]) -> None:
        letters = []
        for event in events:
            try:
                letters.append((self._topics[event.kind], encode(event)))
            except EventError as error:
                self._tally.dropped(str(error), 1)
        try:
            dropped = self._outbox.add(letters)
        except EventError as error:
            self._tally.dropped(str(error).removeprefix(f"{self._outbox.path}: "), len(letters))
            if not self._failing:
                self._say(f"events are lost: {error}")
            self._failing = True
            return
        self._tally.dropped(FULL, dropped)
        if self._failing:
            self._say(f"{self._outbox.path}: written again")
            self._failing = False
        self._courier.signals.put(None)
