"""Brings what waits in the outbox to the broker, in its order, for as long as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from denet.secrets import redacted
from runtime.node.backoff import Backoff
from runtime.node.events.broker import NodeBroker
from runtime.node.events.counter import EventCounter
from runtime.node.events.errors import EventError
from runtime.node.events.link import NOBODY, Acknowledged, Connected, Link, Lost, Signal
from runtime.node.events.outbox import Outbox, OutboxMessage
from runtime.node.events.packet import packet_size
from runtime.node.events.suspicion import STATUS, Suspicion
from runtime.node.notify import Notify
from runtime.node.stage import Beat, Stage

WINDOW = 20
"""Messages on their way at once. More is no faster, and each may arrive twice."""

TICK = 0.25
"""Seconds between looks at the clock."""

SYNC = 1.0
"""Seconds that a message may wait before it is made to survive a loss of power."""

QUOTA, RIGHTS = 0x97, 0x87
"""Refusals of a message that may pass, as somebody mends them."""

FOR_GOOD = frozenset({0x90, 0x95, 0x99})
"""Refusals that are of the message itself: its topic, its size, its format."""


class OutboxRelay:
    """Connects, sends, and removes what was acknowledged, in a thread of its own.

    A letter that cannot be delivered is set aside in the outbox, and the others go on: see
    `suspicion`.

    Attributes:
        signals: put None to say that there is something new in the outbox.

    Args:
        broker: where to.
        outbox: where from.
        counter: counts what arrives.
        notify: told of each change once.
    """

    def __init__(
        self, broker: NodeBroker, outbox: Outbox, counter: EventCounter, notify: Notify
    ) -> None:
        self.signals: SimpleQueue[Signal] = SimpleQueue()
        self._broker, self._outbox, self._counter, self._notify = broker, outbox, counter, notify
        self._backoff = Backoff()
        self._suspicion = Suspicion()
        self._links: list[Link] = []  # whose threads may still be there
        self._link: Link | None = None
        self._session: Connected | None = None
        # By the client's number of a message, that in the outbox, or `STATUS`.
        self._sent: dict[int, int] = {}
        self._status = ""  # that is to be published on this connection
        self._mute = False  # the status breaks connections
        self._arrived: set[int] = set()
        self._unfit: dict[int, str] = {}  # to be set aside, and why
        self._retry = self._synced = 0.0
        self._said = ""
        self._failing = False
        self._deadline: float | None = None
        self._parting = False
        self._first: Connected | Lost | None = None
        self._tried = threading.Event()
        self._stage = Stage("events to mqtt", self._run)
        self._stage.start()

    @property
    def stages(self) -> list[Stage]:
        """Its threads that there are now."""
        return [self._stage, *(link.stage for link in self._links)]

    def first(self, timeout: float) -> Connected | Lost | None:
        """What became of the first attempt; None if that takes longer than `timeout` seconds."""
        self._tried.wait(timeout)
        return self._first

    def close(self, timeout: float) -> None:
        """Bring what can be brought in `timeout` seconds, and hang up."""
        self._deadline = time.monotonic() + timeout
        self._stage.stop()
        self.signals.put(None)
        self._stage.join(timeout + 1.0)

    def _run(self, beat: Beat) -> None:
        try:
            while not self._over():
                beat()
                if self._link is None and time.monotonic() >= self._retry:
                    self._connect()
                self._listen()
                self._tidy()
                self._send()
        except BaseException as error:
            self._give_up(f"failed: {type(error).__name__}: {error}")
            raise
        if self._link is not None:
            self._link.hang_up()

    def _over(self) -> bool:
        """Whether to stop: the time is up, nobody is there, or all is done and good-bye said."""
        if self._deadline is None:
            return False
        if time.monotonic() >= self._deadline or self._session is None:
            return True
        if not (self._outbox.waiting or self._sent or self._unfit or self._parting):
            self._parting = True
            self._status = "" if self._mute else "offline"
        elif self._parting and not (self._sent or self._status):
            self._session.link.part()
        return False

    def _connect(self) -> None:
        self._links = [link for link in self._links if not link.stage.join(0.0)]
        self._link = self._broker.link(self.signals)
        self._links.append(self._link)
        self._suspicion.connected()

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
            if signal.defect is not None:
                self._stage.note(signal.defect)
            blamed = list(self._sent.values()) if signal.ended else []
            # Who opens the sink makes an error of a refusal.
            self._give_up(signal.reason, blamed, silent=first and signal.refused)
            return
        self._session = signal
        self._counter.connected = True
        waiting = self._outbox.waiting
        self._notify_once(f"connected; {waiting} events wait" if waiting else "connected")
        self._status = "" if self._mute else "online"

    def _confirm(self, signal: Acknowledged) -> None:
        number = self._sent.pop(signal.message, None)
        if number is None:
            return
        nobody = signal.refusal is not None and signal.refusal.value == NOBODY
        taken = signal.refusal is None or (
            nobody and (number == STATUS or not self._broker.needs_receiver)
        )
        refusal = None if taken else str(signal.refusal).lower()
        if number == STATUS:
            if refusal is not None:
                self._notify_once(f"{self._broker.status_topic}: refused: {refusal}")
            self._suspicion.arrived(STATUS)
            return
        if signal.refusal is None or taken:
            self._arrived.add(number)
            self._backoff.reset()
            self._suspicion.arrived(number)
            self._counter.delivered(1)
        elif signal.refusal.value in FOR_GOOD:
            self._set_aside(number, f"refused: {refusal}")
        elif nobody:
            self._give_up("has no receiver of events")
        elif signal.refusal.value in (QUOTA, RIGHTS):
            self._give_up(f"refuses events: {refusal}")
        else:
            self._give_up(f"refuses an event: {refusal}", [number])

    def _give_up(self, reason: str, blamed: Sequence[int] = (), *, silent: bool = False) -> None:
        """Forget this connection; the next one begins with what was not acknowledged.

        Args:
            reason: why.
            blamed: the letters that may be why.
            silent: say nothing.
        """
        if self._link is not None:
            self._link.hang_up()
        self._link = self._session = None
        self._counter.connected = False
        self._sent.clear()
        self._status = ""
        self._outbox.release()
        self._retry = time.monotonic() + self._backoff.next()
        if not (silent or self._parting):
            self._notify_once(f"{reason}; events wait in {self._outbox.path}")
        if blamed:
            culprit = self._suspicion.broke(blamed)
            if culprit is not None:
                self._set_aside(culprit, reason)

    def _set_aside(self, number: int, reason: str) -> None:
        """Keep a letter in the outbox, and go on with the others."""
        self._suspicion.forget(number)
        reason = redacted(reason)
        if number == STATUS:
            self._mute = True
            self._notify(f"{self._broker.status_topic}: is published no more: {reason}")
        else:
            self._unfit[number] = reason

    def _tidy(self) -> None:
        """Remove what has arrived, set aside what never will, and see that what waits lasts."""
        due = time.monotonic() - self._synced >= SYNC
        if not (self._arrived or self._unfit or due):
            return
        try:
            if self._arrived:
                self._outbox.remove(self._arrived)
                self._arrived.clear()
            for number, reason in list(self._unfit.items()):
                self._outbox.put_aside(number, reason)
                del self._unfit[number]
                self._counter.set_aside(self._outbox.set_aside, reason)
                self._notify_once(f"an event is set aside in {self._outbox.path}: {reason}")
            if due:
                self._synced = time.monotonic()
                self._outbox.sync()
                if not self._outbox.is_in_place():
                    self._notify_once(
                        f"{self._outbox.path}: was moved, removed or replaced: what waits is sent "
                        "while the node runs, and lost when it ends: start it again when nothing "
                        "waits"
                    )
            self._failing = False
        except EventError as error:
            if not self._failing:
                self._notify(f"{error}: it is neither synced nor emptied, which is tried again")
            self._failing = True

    def _send(self) -> None:
        """Send what there is room for: one at a time after a break, until all of it has arrived."""
        try:
            while self._session is not None:
                careful = self._suspicion.careful
                room = 1 if careful else min(WINDOW, self._session.window)
                room -= len(self._sent)
                if room <= 0:
                    return
                if self._status and not (careful and self._suspicion.of(STATUS) and self._waits()):
                    self._publish_status()
                    continue
                letters = self._next_alone() if careful else self._outbox.claim(room)
                if not letters:
                    return
                for letter in letters:
                    self._publish(letter)
        except EventError as error:
            self._give_up(str(error))

    def _waits(self) -> bool:
        """Whether an event may go before the status, which is suspect."""
        gone = len(self._arrived) + len(self._unfit)
        return self._outbox.waiting > gone and not self._suspicion.taken

    def _next_alone(self) -> list[OutboxMessage]:
        """The next letter while they go one by one: others before the suspects, until one of them
        has been taken."""
        suspicion = self._suspicion
        suspect: list[OutboxMessage] = []
        self._outbox.release()
        while letters := self._outbox.claim(1):
            number = letters[0].number
            if self._gone(number):
                continue
            if suspicion.taken or not suspicion.of(number):
                return letters
            suspect = suspect or letters
        return suspect

    def _gone(self, number: int) -> bool:
        """Whether this letter is done with, and could not be removed or set aside yet."""
        return number in self._arrived or number in self._unfit

    def _publish(self, letter: OutboxMessage) -> None:
        session = self._session
        if session is None or self._gone(letter.number):
            return
        if letter.damage:
            self._set_aside(letter.number, letter.damage)
            return
        size = packet_size(letter.topic, letter.body)
        if session.largest and size > session.largest:
            self._set_aside(
                letter.number, f"of {size} bytes, and the broker takes {session.largest}"
            )
            return
        try:
            message = session.link.publish(letter.topic, letter.body)
        except Exception as error:  # the library's, of any kind; others may do better
            reason = f"cannot be sent: {type(error).__name__}: {error}"
            self._stage.note(error)
            self._give_up(reason, [letter.number])
            return
        self._sent[message] = letter.number

    def _publish_status(self) -> None:
        assert self._session is not None
        topic, status = self._broker.status_topic, self._status
        self._status = ""
        self._sent[self._session.link.publish(topic, status, retain=True)] = STATUS

    def _notify_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._notify(f"{self._broker.name}: {text}")
