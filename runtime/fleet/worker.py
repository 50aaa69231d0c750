"""Takes events from the broker, stores them, and acknowledges them when they are stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import msgspec
import psycopg
from psycopg import errors

from runtime.fleet.arrival import Arrival, read_track_event
from runtime.fleet.clocks import NodeClocks
from runtime.fleet.errors import FleetError
from runtime.fleet.storing import Refused, SpaceIds, store
from runtime.fleet.subscription import BrokerAwayError, Subscription
from runtime.fleet.tables import require
from runtime.node.backoff import Backoff
from runtime.node.events import TrackEvent
from runtime.node.events.broker import Broker
from runtime.node.notify import Notify
from runtime.node.stage import Beat, Stage
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection, connect, reason

BATCH = 200
"""Events of one transaction, at most."""

LINGER = 0.05
"""Seconds that an event may wait for others of its transaction."""

TICK = 0.25

DRAINED = 2.0
"""Seconds without an event after which the broker holds no more for a session."""

STEADY = 10.0
"""Seconds that a connection lasts which nobody else wants."""

UNFIT = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded)
"""What PostgreSQL raises because of what it is given."""

LONGEST_PAUSE = 15.0
"""Seconds between two tries, at most."""


@dataclass
class Counts:
    """What became of what came: received = stored + again + aside.

    Attributes:
        received: messages that came and were acknowledged.
        stored: events that were new.
        again: events that were there already.
        aside: messages that are kept, but cannot be read.
    """

    received: int = 0
    stored: int = 0
    again: int = 0
    aside: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class EventSource:
    """Where events come from.

    Attributes:
        broker: which.
        group, topic: as of `Subscription`.
    """

    broker: Broker
    group: str
    topic: str


class FleetWorker:
    """One session with the broker and one with the archive, in a thread.

    Nothing is acknowledged before it is committed, so whatever dies, it comes again; and an event
    that comes again is known by its id.

    Attributes:
        counts: what became of what came.
        broker_away, archive_away: why it cannot go on; "" while it can.
        stage: its thread.

    Args:
        session: the name of the session with the broker.
        source: where events come from.
        archive: where they are stored.
        clocks: of the nodes; shared by the workers of a process.
        notify: told once of each change.
        draining: end when the broker holds nothing for the session any more, and end the session.
    """

    def __init__(
        self,
        session: str,
        source: EventSource,
        archive: Address,
        clocks: NodeClocks,
        notify: Notify,
        *,
        draining: bool = False,
    ) -> None:
        self.counts = Counts()
        self.broker_away = self.archive_away = ""
        self._session, self._source, self._archive = session, source, archive
        self._clocks, self._notify, self._draining = clocks, notify, draining
        self._subscription: Subscription | None = None
        self._connection: Connection | None = None
        self._spaces = SpaceIds()
        self._more: list[Arrival] = []  # came while others could not be stored
        self._said = ""
        self._connected = 0.0
        self._brief = 0  # connections in a row that did not last
        self._pauses = Backoff(ceiling=LONGEST_PAUSE)
        self._stopping = threading.Event()
        self.stage = Stage(session, self._run, patience=60.0)

    def start(self) -> None:
        """Begin."""
        self.stage.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping.set()
        self.stage.stop()

    def _run(self, beat: Beat) -> None:
        quiet = time.monotonic()
        try:
            while not self._stopping.is_set():
                beat()
                # Without the archive nothing is taken from others who may have theirs.
                if not (self._reach_archive() and self._reach_broker()):
                    self._wait(self._pauses.next())
                    continue
                arrivals = self._receive()
                if arrivals:
                    self._keep(arrivals, beat)
                    quiet = time.monotonic()
                elif self._draining and time.monotonic() - quiet > DRAINED:
                    return
        finally:
            self._close()

    def _reach_archive(self) -> bool:
        if self._connection is not None:
            return True
        try:
            connection = connect(self._archive)
            try:
                require(connection, self._archive)
            except BaseException:
                connection.close()
                raise
        except (psycopg.Error, FleetError) as error:
            words = reason(error) if isinstance(error, psycopg.Error) else str(error)
            self._lose_archive(words)
            return False
        self._connection, self._spaces = connection, SpaceIds()
        if self.archive_away:
            self._notify(f"{self._archive.name}: reached again")
            self.archive_away = ""
        self._pauses.reset()
        return True

    def _reach_broker(self) -> bool:
        if self._subscription is not None:
            return True
        broker, source = self._source.broker, self._source
        try:
            self._subscription = Subscription(
                broker, self._session, source.group, source.topic, draining=self._draining
            )
        except BrokerAwayError as error:
            self._lose_broker(str(error))
            return False
        self._connected = time.monotonic()
        if self.broker_away:
            self._notify(f"{broker.name}: {self._session} is connected again")
            self.broker_away = ""
        return True

    def _receive(self) -> list[Arrival]:
        """Some of what comes, soon after the first of it."""
        assert self._subscription is not None
        arrivals, self._more = self._more, []
        due = time.monotonic() + LINGER if arrivals else None
        try:
            while len(arrivals) < BATCH and not self._stopping.is_set():
                left = TICK if due is None else due - time.monotonic()
                if left <= 0:
                    break
                arrivals += self._subscription.receive(left)
                if arrivals and due is None:
                    due = time.monotonic() + LINGER
                if not arrivals:
                    break
        except BrokerAwayError as error:
            self._lose_broker(str(error))
            return []  # it comes again
        return arrivals

    def _keep(self, arrivals: Sequence[Arrival], beat: Beat) -> None:
        """Store and acknowledge, however long the archive is away; unless the broker is lost, which
        sends all of it again."""
        events, refused = self._read(arrivals)
        while not self._stopping.is_set():
            beat()
            made = Counts(received=len(arrivals), aside=len(refused))
            if self._reach_archive() and self._stored(events, refused, made):
                self.counts = self.counts.plus(made)
                self._acknowledge(arrivals)
                self._tell(refused)
                return
            if not self._wait(self._pauses.next()):
                return

    def _acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        try:
            if self._subscription is not None:
                self._subscription.acknowledge(arrivals)
        except OSError as error:
            self._lose_broker(str(error))

    def _tell(self, refused: Sequence[Refused]) -> None:
        for each in refused:
            text = f"a message on {each.topic} is set aside: {each.reason}"
            if text != self._said:
                self._notify(text)
            self._said = text

    def _read(self, arrivals: Sequence[Arrival]) -> tuple[list[TrackEvent], list[Refused]]:
        events, refused = [], []
        for arrival in arrivals:
            try:
                event = read_track_event(arrival.body)
            except FleetError as error:
                refused.append(Refused(arrival.topic, arrival.body, str(error)))
                continue
            events.append(event)
            told = self._clocks.look(event.node, event.time, time.time())
            if told is not None:
                self._notify(told)
        return events, refused

    def _stored(
        self, events: Sequence[TrackEvent], refused: Sequence[Refused], made: Counts
    ) -> bool:
        """Store all of it; whether the archive was there to do that."""
        try:
            self._store(events, refused, made)
        except UNFIT:
            # One of them is to blame, and costs the others nothing.
            made.stored = made.again = 0
            if not all(self._stored_alone(event, made) for event in events):
                return False
            return not refused or self._stored([], refused, made)
        except psycopg.Error as error:
            self._lose_archive(reason(error))
            return False
        return True

    def _stored_alone(self, event: TrackEvent, made: Counts) -> bool:
        try:
            self._store([event], [], made)
        except UNFIT as error:
            why = f"the archive refuses it: {reason(error)}"
            unfit = [Refused(f"(event {event.id})", msgspec.json.encode(event), why)]
            if not self._stored([], unfit, made):
                return False
            made.aside += 1
            self._tell(unfit)
        except psycopg.Error as error:
            self._lose_archive(reason(error))
            return False
        return True

    def _store(
        self, events: Sequence[TrackEvent], refused: Sequence[Refused], made: Counts
    ) -> None:
        assert self._connection is not None
        new = store(self._connection, self._spaces, events, refused, time.time())
        made.stored += new
        made.again += len(events) - new

    def _wait(self, seconds: float) -> bool:
        """Wait, and show the broker that there is somebody; whether it is still there."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopping.is_set():
            if self._subscription is None:
                self._stopping.wait(left)
                return False
            try:
                self._more += self._subscription.receive(min(left, TICK))
            except BrokerAwayError as error:
                self._lose_broker(str(error))
        return self._subscription is not None

    def _lose_archive(self, why: str) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if why != self.archive_away:
            self._notify(f"{self._archive.name}: {why}; events wait at the broker")
        self.archive_away = why

    def _lose_broker(self, why: str) -> None:
        if self._subscription is not None:
            self._subscription.hang_up()
            self._subscription = None
            self._more = []  # it comes again
            if time.monotonic() - self._connected > STEADY:
                self._brief = 0
                self._pauses.reset()
            self._brief += 1
            if self._brief >= 3:  # some brokers do not tell it
                why += f": is another connected as {self._session}? Give each machine a name"
        if why != self.broker_away:
            self._notify(f"{self._source.broker.name}: {self._session}: {why}")
        self.broker_away = why

    def _close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
