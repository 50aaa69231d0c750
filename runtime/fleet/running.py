"""Runs the workers of a fleet as a program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from denet.secrets import redacted
from runtime.fleet.clocks import NodeClocks
from runtime.fleet.errors import FleetError
from runtime.fleet.retention import forget_old
from runtime.fleet.settings import FleetSettings, required
from runtime.fleet.subscription import BrokerAwayError, Subscription
from runtime.fleet.tables import make_tables
from runtime.fleet.worker import Counts, EventSource, FleetWorker
from runtime.node.events.broker import Broker
from runtime.node.notify import Notify
from runtime.node.running import Signals
from runtime.node.watchdog import notify_systemd
from runtime.postgres.address import Address
from runtime.postgres.connecting import connect, is_refusal, reason

TICK = 1.0
"""Seconds between two snapshots."""

FORGETTING = 600.0
"""Seconds between two looks for what is too old."""

ENDING = 30.0
"""Seconds that workers may take to finish what is under way."""


@dataclass(frozen=True)
class FleetSnapshot:
    """What the workers of a process have done.

    Attributes:
        counts: of all of them together.
        forgotten: tracks that were too old or too much.
        away: why the broker or the archive cannot be reached; "" if both can.
        failures: how often the work of a thread ended by a mistake in this program.
    """

    counts: Counts
    forgotten: int
    away: str
    failures: int

    def facts(self) -> dict[str, Any]:
        """For a program to read."""
        return {**asdict(self), "time": time.time()}

    def line(self) -> str:
        """For a person."""
        c = self.counts
        text = f"received {c.received}: new {c.stored}, again {c.again}, set aside {c.aside}"
        if self.forgotten:
            text += f"; forgotten tracks {self.forgotten}"
        return f"{text}; {self.away}" if self.away else text


class Fleet:
    """The workers of a configuration, and who forgets.

    Args:
        settings: of the fleet.
        notify: told once of each change.
        draining: take only what the broker holds for these workers, and end their sessions.

    Raises:
        FleetError: a setting is wrong, or the archive or the broker is there and refuses.
    """

    def __init__(self, settings: FleetSettings, notify: Notify, *, draining: bool = False) -> None:
        given = required(settings.broker, "broker", "write [broker] with a url")
        self._settings, self._notify = settings, notify
        self._address = settings.archive.address
        self._source = EventSource(Broker(given), given.group, given.topic)
        self._forgotten = 0
        self._stopping = threading.Event()
        self._forgetter = threading.Thread(target=self._forget, name="fleet forgets", daemon=True)
        clocks = NodeClocks()
        self.workers = [
            FleetWorker(
                f"denet-fleet-{settings.name}-{number}",
                self._source,
                self._address,
                clocks,
                self._tell,
                draining=draining,
            )
            for number in range(1, settings.workers + 1)
        ]
        reach_archive(self._address, notify)
        reach_broker(self._source, settings.name, notify)

    def start(self) -> None:
        """Begin."""
        self._forgetter.start()
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """End after what is under way, and wait for that."""
        self._stopping.set()
        for worker in self.workers:
            worker.stop()
        end = time.monotonic() + ENDING
        for worker in self.workers:
            worker.stage.join(max(0.0, end - time.monotonic()))
        self._forgetter.join(1.0)

    def ended(self) -> bool:
        """Whether all workers have."""
        return all(worker.stage.join(0.0) for worker in self.workers)

    def snapshot(self) -> FleetSnapshot:
        """What was done so far."""
        counts = Counts()
        for worker in self.workers:
            counts = counts.plus(worker.counts)
        away = dict.fromkeys(w.archive_away or w.broker_away for w in self.workers)
        failures = sum(worker.stage.failures for worker in self.workers)
        return FleetSnapshot(counts, self._forgotten, "; ".join(filter(None, away)), failures)

    def _tell(self, line: str) -> None:
        with suppress(Exception):  # who listens must not end a worker
            self._notify(redacted(line))

    def _forget(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                with connect(self._address) as connection:
                    self._forgotten += forget_old(connection, self._settings.archive)
                said = ""
            except psycopg.Error as error:
                # Of one that is away the workers tell.
                if not is_refusal(error) and reason(error) != said and not self.snapshot().away:
                    said = reason(error)
                    self._tell(f"{self._address.name}: nothing is forgotten: {said}")
            self._stopping.wait(FORGETTING)


def reach_archive(address: Address, notify: Notify) -> None:
    """See that the archive is there, and make it if need be; one that is away is waited for.

    Raises:
        FleetError: it is there and refuses, or there is something else.
    """
    try:
        with connect(address) as connection:
            make_tables(connection, address)
    except psycopg.OperationalError as error:
        if is_refusal(error):
            raise FleetError(f"{address.name}: {reason(error)}") from None
        notify(f"{address.name}: {reason(error)}; it is waited for")
    except psycopg.Error as error:
        raise FleetError(f"{address.name}: {reason(error)}") from None


def reach_broker(source: EventSource, name: str, notify: Notify) -> None:
    """See that the broker takes us; one that is away is waited for.

    Raises:
        FleetError: it is there and refuses.
    """
    # A session that holds nothing and is gone afterwards.
    probe = f"denet-fleet-{name}-probe"
    try:
        Subscription(
            source.broker, probe, f"{source.group}-probe", source.topic, brief=True
        ).close()
    except BrokerAwayError as error:
        if error.refused:
            raise FleetError(f"{source.broker.name}: {error}") from None
        notify(f"{source.broker.name}: {error}; it is waited for")


def run_fleet(
    fleet: Fleet,
    notify: Callable[[FleetSnapshot], None],
    signals: Signals,
    seconds: float | None = None,
) -> FleetSnapshot:
    """Run a fleet until a signal comes, or its workers have drained the broker.

    Args:
        fleet: not started yet.
        notify: told of it each second.
        signals: that are caught by the caller.
        seconds: after which it is stopped.

    Returns:
        What was done.
    """
    fleet.start()
    notify_systemd("READY=1")
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while not (signals.stops or fleet.ended()):
            if end is not None and time.monotonic() >= end:
                break
            signals.changed.wait(TICK if end is None else min(TICK, 0.1 + end - time.monotonic()))
            signals.changed.clear()
            notify_systemd("WATCHDOG=1")
            notify(fleet.snapshot())
        notify_systemd("STOPPING=1")
    finally:
        fleet.stop()
    return fleet.snapshot()
