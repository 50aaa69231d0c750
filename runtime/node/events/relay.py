"""Brings what waits in the outbox to the broker, in its order, for as long as it takes."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue

from runtime.node.events.broker import Broker
from runtime.node.events.counter import EventCounter
from runtime.node.events.errors import EventError
from runtime.node.events.link import Acknowledged, Connected, Link, Lost, Signal
from runtime.node.events.outbox import Outbox
from runtime.node.notify import Notify
from runtime.node.sources.backoff import Backoff

WINDOW = 20
"""Messages on their way at once. More is no faster, and each may arrive twice."""

FRAME = 64
"""Bytes of a packet besides topic and body, at most."""

TICK = 0.5
"""Seconds between looks at the clock."""

SYNC = 1.0
"""Seconds that a message may wait before it is made to survive a loss of power."""

QUOTA, RIGHTS = 0x97, 0x87
"""Refusals of a message that may pass, as somebody mends them."""


class OutboxRelay:
    """Connects, sends, and removes what was acknowledged, in a thread of its own.

    Attributes:
        signals: put None to say that there is something new in the outbox.

    Args:
        broker: where to.
        outbox: where from.
        counter: counts what arrives.
        notify: told of each change once.
    """

    def __init__(
        self, broker: Broker, outbox: Outbox, counter: EventCounter, notify: Notify
    ) -> None:
        self.signals: SimpleQueue[Signal] = SimpleQueue()
        self._broker, self._outbox, self._counter, self._notify = broker, outbox, counter, notify
        self._backoff = Backoff()
        self._link: Link | None = None
        self._session: Connected | None = None
        # By the client's number of a message, that in the outbox; None for the status.
        self._sent: dict[int, int | None] = {}
        self._arrived: set[int] = set()
        self._retry = self._synced = 0.0
        self._said = ""
        self._failing = False
        self._deadline: float | None = None
        self._parting = False
        self._first: Connected | Lost | None = None
        self._tried = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events to mqtt", daemon=True)
        self._thread.start()

    def first(self, timeout: float) -> Connected | Lost | None:
        """What became of the first attempt; None if that takes longer than `timeout` seconds."""
        self._tried.wait(timeout)
        return self._first

    def close(self, timeout: float) -> None:
        """Bring what can be brought in `timeout` seconds, and hang up."""
        self._deadline = time.monotonic() + timeout
        self.signals.put(None)
        self._thread.join(timeout + 1.0)

    def _run(self) -> None:
        while not self._over():
            if self._link is None and time.monotonic() >= self._retry:
                self._link = self._broker.link(self.signals)
            self._listen()
            self._tidy()
            self._send()
        if self._link is not None:
            self._link.hang_up()

    def _over(self) -> bool:
        """Whether to stop: the time is up, nobody is there, or all is done and good-bye said."""
        if self._deadline is None:
            return False
        if time.monotonic() >= self._deadline or self._session is None:
            return True
        if not (self._outbox.waiting or self._sent or self._parting):
            self._parting = True
            self._publish_status("offline")
        elif self._parting and not self._sent:
            self._session.link.part()
        return False

    def _listen(self) -> None:
        """Wait for a signal, then take all that are there."""
        wait = TICK
        if self._link is None:
            wait = min(wait, max(0.0, self._retry - time.monotonic()))
        if self._deadline is not None:
            wait = min(wait, max(0.0, self._deadline - time.monotonic()))
        try:
            self._take(self.signals.get(timeout=wait))
            while True:
                self._take(self.signals.get_nowait())
        except Empty:
            pass

    def _take(self, signal: Signal) -> None:
        if signal is None or signal.link is not self._link:
            return
        if isinstance(signal, Acknowledged):
            self._confirm(signal)
            return
        first = not self._tried.is_set()
        self._first = self._first or signal
        self._tried.set()
        if isinstance(signal, Lost):
            # Who opens the sink makes an error of it.
            self._give_up(signal.reason, silent=first and signal.refused)
            return
        self._session = signal
        self._counter.connected = True
        waiting = self._outbox.waiting
        self._notify_once(f"connected; {waiting} events wait" if waiting else "connected")
        self._publish_status("online")

    def _confirm(self, signal: Acknowledged) -> None:
        number = self._sent.pop(signal.message, None)
        refusal = signal.refusal
        if number is None:
            if refusal is not None:
                self._notify_once(f"{self._broker.status_topic}: refused: {str(refusal).lower()}")
            return
        if refusal is not None and refusal.value in (QUOTA, RIGHTS):
            self._give_up(f"refuses events: {str(refusal).lower()}")
            return
        self._arrived.add(number)
        self._backoff.reset()
        if refusal is None:
            self._counter.delivered(1)
        else:
            self._counter.dropped(f"refused: {str(refusal).lower()}", 1)

    def _give_up(self, reason: str, *, silent: bool = False) -> None:
        """Forget this connection; the next one begins with what was not acknowledged."""
        if self._link is not None:
            self._link.hang_up()
        self._link = self._session = None
        self._counter.connected = False
        self._sent.clear()
        self._outbox.release()
        self._retry = time.monotonic() + self._backoff.next()
        if not (silent or self._parting):
            self._notify_once(f"{reason}; events wait in {self._outbox.path}")

    def _tidy(self) -> None:
        """Remove what has arrived, and see that what waits lasts."""
        due = time.monotonic() - self._synced >= SYNC
        if not (self._arrived or due):
            return
        try:
            if self._arrived:
                self._outbox.remove(self._arrived)
                self._arrived.clear()
            if due:
                self._synced = time.monotonic()
                self._outbox.sync()
            self._failing = False
        except EventError as error:
            if not self._failing:
                self._notify(f"{error}: it is neither synced nor emptied, which is tried again")
            self._failing = True

    def _send(self) -> None:
        session = self._session
        if session is None:
            return
        try:
            messages = self._outbox.claim(max(0, min(WINDOW, session.window) - len(self._sent)))
        except EventError as error:
            self._give_up(str(error))
            return
        for message in messages:
            if message.number in self._arrived:  # and could not be removed
                continue
            if session.largest and len(message.topic) + len(message.body) + FRAME > session.largest:
                self._counter.dropped("larger than the broker takes", 1)
                self._arrived.add(message.number)
                continue
            self._sent[session.link.publish(message.topic, message.body)] = message.number

    def _publish_status(self, status: str) -> None:
        if self._session is not None:
            topic = self._broker.status_topic
            self._sent[self._session.link.publish(topic, status, retain=True)] = None

    def _notify_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._notify(f"{self._broker.name}: {text}")
