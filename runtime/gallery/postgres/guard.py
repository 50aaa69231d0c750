"""Ends a connection that does not answer: nobody waits for a network that swallows everything."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from runtime.postgres.connecting import Connection

TICK = 0.1
"""Seconds between two looks."""


class Guard:
    """A thread that looks whether a call is overdue, and does what is to be done meanwhile.

    Args:
        patience: seconds for an answer.
        meanwhile: called every `TICK`.
    """

    def __init__(self, patience: float, meanwhile: Callable[[], None]) -> None:
        self._patience, self._meanwhile = patience, meanwhile
        self._connection: Connection | None = None
        self._due = 0.0
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gallery guard", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, connection: Connection) -> Iterator[None]:
        """End `connection` if it takes longer than it may; `progress` gives it more time."""
        with self._lock:
            self._connection, self._due = connection, time.monotonic() + self._patience
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def progress(self, seconds: float) -> None:
        """Something came; what comes next may take so long."""
        self._due = time.monotonic() + seconds

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(TICK):
            with self._lock:
                if self._connection is not None and time.monotonic() > self._due:
                    _hang_up(self._connection)
                    self._connection = None
            self._meanwhile()


def _hang_up(connection: Connection) -> None:
    """Whoever waits for the other end is told that it is gone."""
    with suppress(OSError, ValueError):
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            copy.shutdown(socket.SHUT_RDWR)
        finally:
            copy.close()
