"""Notices a stage that fails or makes no progress, and tells systemd of the node."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from runtime.node.stage import Stage

AGAIN = 60.0
"""Seconds after which a failure that was told is told again, if it happens again."""

Change = Literal["stage failed", "stage stuck", "stage goes on"]


@dataclass(frozen=True)
class StageSnapshot:
    """A stage at a moment.

    Attributes:
        stuck: it makes no progress.
        failures: how often an error ended its work, or a part of it.
        failure: the last such error; "" before the first.
        head: whose stage it is; "" if all of the node needs it.
    """

    stuck: bool
    failures: int
    failure: str
    head: str = ""

    @property
    def trouble(self) -> str:
        """What is or was wrong with it, for a person; "" if nothing was."""
        parts = ["no progress"] if self.stuck else []
        if self.failures:
            parts.append(f"failed {self.failures} times, last by {self.failure}")
        return "; ".join(parts)


class Watchdog:
    """Says which stages fail or are stuck, once each time.

    Args:
        stages: gives those that there are; of several of one name the last counts.
        limit: seconds without progress after which one counts as stuck.
        notify: told of each that fails, is stuck, or goes on again, and which that is.
        clock: seconds.
    """

    def __init__(
        self,
        stages: Callable[[], Iterable[Stage]],
        limit: float,
        notify: Callable[[Change, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages, self._limit, self._notify, self._clock = stages, limit, notify, clock
        self._found: dict[str, StageSnapshot] = {}
        self._told: dict[str, tuple[str, float]] = {}  # the last failure of each stage, and when

    @property
    def stuck(self) -> bool:
        """Whether one of them was stuck at the last look."""
        return any(stage.stuck for stage in self._found.values())

    @property
    def found(self) -> Mapping[str, StageSnapshot]:
        """Each stage by its name at the last look."""
        return self._found

    def look(self) -> None:
        """See how long ago each of them went on, and what failed."""
        found: dict[str, StageSnapshot] = {}
        for name, stage in {stage.name: stage for stage in self._stages()}.items():
            idle, was = stage.idle, self._found.get(name, StageSnapshot(False, 0, ""))
            stuck = idle > self._limit + stage.patience
            found[name] = StageSnapshot(stuck, stage.failures, stage.failure, stage.head)
            if stage.failures > was.failures:
                self._tell_failure(name, stage.failure)
            if stuck and not was.stuck:
                self._notify("stage stuck", f"{name}: no progress for {idle:.0f} s")
            elif was.stuck and not stuck:
                self._notify("stage goes on", name)
        self._found = found

    def _tell_failure(self, name: str, failure: str) -> None:
        said, at = self._told.get(name, ("", 0.0))
        now = self._clock()
        if failure != said or now - at >= AGAIN:
            self._told[name] = failure, now
            self._notify("stage failed", f"{name}: {failure}; this is a defect of the program")


def notify_systemd(state: str) -> bool:
    """Tell systemd, if it started this process: "READY=1", "WATCHDOG=1", "STOPPING=1".

    It is one datagram to the socket that it names (sd_notify(3)). Whether it was sent.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address[0] == "@":  # in Linux's abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address)
    except OSError:  # a node must not die of a manager that is away
        return False
    return True
