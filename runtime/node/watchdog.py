"""Notices a stage that makes no progress, and tells systemd of the node."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from runtime.node.notify import Notify
from runtime.node.stage import Stage


class Watchdog:
    """Says which stages are stuck, once each time.

    Args:
        stages: of the loop.
        limit: seconds without progress after which one counts as stuck.
        notify: told of each that is stuck, and that goes on again.
    """

    def __init__(self, stages: Sequence[Stage], limit: float, notify: Notify) -> None:
        self._stages, self._limit, self._notify = stages, limit, notify
        self._stuck: set[str] = set()

    @property
    def stuck(self) -> bool:
        """Whether one of them was stuck at the last look."""
        return bool(self._stuck)

    def look(self) -> None:
        """See how long ago each of them went on."""
        for stage in self._stages:
            stuck = stage.idle > self._limit
            if stuck and stage.name not in self._stuck:
                self._notify(f"{stage.name}: no progress for {stage.idle:.0f} s")
            elif not stuck and stage.name in self._stuck:
                self._notify(f"{stage.name}: goes on again")
            (self._stuck.add if stuck else self._stuck.discard)(stage.name)


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
