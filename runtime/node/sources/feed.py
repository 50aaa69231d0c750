"""Keeps a source running in a thread of its own, whatever becomes of it."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from runtime.node.sources.backoff import Backoff
from runtime.node.sources.base import Source
from runtime.node.sources.frame import Notice, SourceError, Stage
from runtime.node.sources.inbox import Inbox
from runtime.node.sources.secrets import redacted

STEADY = 10.0
"""Seconds that a connection must have held for the next loss to be tried again at once."""


class Feed:
    """Takes the frames of one source into the inbox, and connects again for ever.

    A source that blocks blocks its own thread alone. The thread is a daemon, so that one stuck in
    a driver cannot keep the process from ending.
    """

    def __init__(self, source: Source, inbox: Inbox, backoff: Backoff | None = None) -> None:
        self.source = source
        self._inbox = inbox
        self._backoff = backoff or Backoff()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"denet-{source.modality}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; does not wait."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._tell("opening", self.source.name)
            began = time.monotonic()
            reason = self._connection()
            if self._stop.is_set():
                return
            if reason is None and not self.source.live:
                self._tell("ended", f"{self.source.name}: the recording is over")
                return
            if time.monotonic() - began >= STEADY:
                self._backoff.reset()
            wait = self._backoff.next()
            what = reason or f"{self.source.name}: the stream ended"
            self._tell("lost", f"{what}; next try in {wait:.1f} s")
            self._stop.wait(wait)

    def _connection(self) -> str | None:
        """Run one connection to its end: None, or why it broke."""
        try:
            running = False
            with closing(self.source.frames(self._stop)) as frames:
                for item in frames:
                    if not running:
                        self._tell("running", self.source.name)
                        running = True
                    self._inbox.put(item)
                    if self._stop.is_set():
                        return None
        except SourceError as error:
            return str(error)
        except Exception as error:  # a thread that died unseen would look like a dead camera
            return f"{self.source.name}: {type(error).__name__}: {redacted(str(error))}"
        return None

    def _tell(self, stage: Stage, reason: str) -> None:
        self._inbox.notify(Notice(self.source.modality, time.monotonic(), stage, reason))
