"""Keeps identities up to date as a program: one process at a time, whatever dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from runtime.fleet.counting import read_fitting
from runtime.fleet.errors import FleetError
from runtime.fleet.identities.identifying import Decisions, Identifier
from runtime.fleet.score_file import score_file
from runtime.fleet.settings import FleetSettings
from runtime.fleet.standing import known_spaces
from runtime.fleet.tables import require
from runtime.node.backoff import Backoff
from runtime.node.notify import Notify
from runtime.node.running import Signals
from runtime.node.watchdog import notify_systemd
from runtime.postgres.connecting import Connection, connect, is_refusal, reason

LOCK = 0x444E4649
"""Who identifies holds this lock of the database, with the schema; others wait for its end."""

LONGEST_PAUSE = 15.0
"""Seconds between two tries to reach the archive, at most."""

WHY = "tracks are compared by the rates that `denet gallery calibrate` measures"


@dataclass(frozen=True)
class IdentifySnapshot:
    """What was done so far.

    Attributes:
        decisions: in all.
        away: why it cannot go on; "" if it can.
    """

    decisions: Decisions = field(default_factory=Decisions)
    away: str = ""

    def facts(self) -> dict[str, Any]:
        """For a program to read."""
        return {**asdict(self), "time": time.time()}

    def line(self) -> str:
        """For a person."""
        made = self.decisions
        text = f"tracks {made.tracks}, corrected {made.corrected}"
        return f"{text}; {self.away}" if self.away else text


class IdentityKeeper:
    """Identifies as tracks come.

    Args:
        settings: of the fleet.
        notify: told once of each change.

    Raises:
        FleetError: there are no scores.
    """

    def __init__(self, settings: FleetSettings, notify: Notify) -> None:
        self._settings, self._notify = settings, notify
        self._scores = score_file(settings.questions, WHY)
        self._address = settings.archive.address
        self._done, self._away = Decisions(), ""
        self._spaces: list[object] = []
        self._identifier: Identifier | None = None

    def snapshot(self) -> IdentifySnapshot:
        """What was done so far."""
        return IdentifySnapshot(self._done, self._away)

    def once(self, progress: Callable[[IdentifySnapshot], None]) -> None:
        """Decide all that waits.

        Args:
            progress: told after each step.

        Raises:
            FleetError: another is at it, or there is no archive.
            GalleryError: the scores cannot be read, or are of no model that the archive has.
            psycopg.Error: the archive cannot be reached, or is gone.
        """
        with connect(self._address) as connection:
            require(connection, self._address)
            if not self._locked(connection):
                raise FleetError(f"{self._address.name}: another identifies in this archive now")
            while self._step(connection, again=True) is not None:
                progress(self.snapshot())

    def run(
        self,
        progress: Callable[[IdentifySnapshot], None],
        signals: Signals,
        seconds: float | None = None,
    ) -> None:
        """Decide what comes, until a signal comes; an archive that is away is waited for.

        Args:
            progress: told after each step.
            signals: that are caught by the caller.
            seconds: after which to stop.

        Raises:
            FleetError: the archive refuses, or is none.
            GalleryError: the scores cannot be read, or are of no model that the archive has.
        """
        end = None if seconds is None else time.monotonic() + seconds
        pauses = Backoff(ceiling=LONGEST_PAUSE)
        notify_systemd("READY=1")
        while not _over(signals, end):
            try:
                with connect(self._address) as connection:
                    require(connection, self._address)
                    self._back()
                    pauses.reset()
                    self._follow(connection, progress, signals, end)
            except psycopg.Error as error:
                if is_refusal(error) or not isinstance(error, psycopg.OperationalError):
                    raise FleetError(f"{self._address.name}: {reason(error)}") from None
                self._lose(reason(error))
                progress(self.snapshot())
                _wait(signals, end, pauses.next())
        notify_systemd("STOPPING=1")

    def _follow(
        self,
        connection: Connection,
        progress: Callable[[IdentifySnapshot], None],
        signals: Signals,
        end: float | None,
    ) -> None:
        told = False
        while not _over(signals, end):
            if self._locked(connection):
                break
            if not told:
                self._notify(f"{self._address.name}: another identifies; its end is waited for")
                told = True
            _wait(signals, end, self._settings.identities.every)
        while not _over(signals, end):
            made = self._step(connection)
            progress(self.snapshot())
            notify_systemd("WATCHDOG=1")
            if made is None or not made.tracks:
                _wait(signals, end, self._settings.identities.every)

    def _step(self, connection: Connection, *, again: bool | None = None) -> Decisions | None:
        spaces: list[object] = list(known_spaces(connection))
        if not spaces:
            return None
        if spaces != self._spaces:  # another model
            space, number, scores = read_fitting(connection, self._scores)
            if space != spaces[-1]:
                self._notify(
                    f"{scores.name}: is of {space.describe()}: tracks of another model that came "
                    "since get no identity: measure scores of that"
                )
            self._tell_unknown(connection)
            self._identifier = Identifier(self._settings.identities, scores, number, self._notify)
            self._spaces = spaces
        assert self._identifier is not None
        made = self._identifier.step(connection, again=again)
        self._done = self._done.plus(made or Decisions())
        return made

    def _tell_unknown(self, connection: Connection) -> None:
        """A name that is spelled otherwise than its node says would do nothing."""
        heard = {row[0] for row in connection.execute("SELECT node FROM cameras")}
        named = {n for t in self._settings.identities.transits for n in (t.origin, t.to)}
        if unheard := sorted(named - heard):
            self._notify(
                f"identities.transits: nothing was heard yet of {', '.join(unheard)}: is it "
                f"spelled so? There are {', '.join(sorted(heard))}"
            )

    def _locked(self, connection: Connection) -> bool:
        # For as long as the connection lasts: who is killed has it no longer.
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCK, self._address.schema)
        ).fetchone()
        return row is not None and bool(row[0])

    def _lose(self, why: str) -> None:
        if why != self._away:
            self._notify(f"{self._address.name}: {why}; it is waited for")
        self._away = why
        self._identifier, self._spaces = None, []

    def _back(self) -> None:
        if self._away:
            self._notify(f"{self._address.name}: reached again")
        self._away = ""


def _over(signals: Signals, end: float | None) -> bool:
    return signals.stops > 0 or (end is not None and time.monotonic() >= end)


def _wait(signals: Signals, end: float | None, seconds: float) -> None:
    left = seconds if end is None else min(seconds, end - time.monotonic())
    signals.changed.wait(max(0.0, left))
    signals.changed.clear()
