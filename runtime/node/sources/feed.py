"""Keeps a source running in a thread of its own, whatever becomes of the camera."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from runtime.node.sources.backoff import Backoff
from runtime.node.sources.base import Source
from runtime.node.sources.frame import Notice, SourceError, Stage
from runtime.node.sources.inbox import Inbox
from runtime.node.sources.secrets import redacted

LOSSES = (OSError, MemoryError)
"""Beside `SourceError`: what the camera, its decoder or the system can be blamed for, and what may
be gone at the next try. Anything else is a defect of this program, which another try meets
again."""

STEADY = 10.0
"""Seconds that a connection must have held for the next loss to be tried again at once."""


BELIEVED = "its time stamps are believed again"


class Feed:
    """Takes the frames of one source into the inbox, and connects to a camera again for ever.

    A recording that cannot be read has ended: another try meets the same file, from its beginning.

    A defect ends it, and a notice says so: it would pass for a dead camera otherwise.

    A source that blocks blocks its own thread alone. The thread is a daemon, so that one stuck in
    a driver cannot keep the process from ending.
    """

    def __init__(self, source: Source, inbox: Inbox, backoff: Backoff | None = None) -> None:
        self.source = source
        self._inbox = inbox
        self._backoff = backoff or Backoff()
        self._doubt = ""  # what was told of it
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
            try:
                reason = self._connection()
            except Exception as error:
                self._fail(error)
                return
            if self._stop.is_set():
                return
            if reason is None and not self.source.live:
                self._tell("ended", f"{self.source.name}: the recording is over")
                return
            if not self.source.live:
                self._tell("ended", f"{reason}; a recording is not tried again")
                return
            if time.monotonic() - began >= STEADY:
                self._backoff.reset()
            wait = self._backoff.next()
            what = reason or f"{self.source.name}: the stream ended"
            self._tell("lost", f"{what}; next try in {wait:.1f} s")
            self._stop.wait(wait)

    def _connection(self) -> str | None:
        """Run one connection to its end: None, or why it was lost."""
        try:
            running = False
            with closing(self.source.frames(self._stop)) as frames:
                for item in frames:
                    if not running:
                        self._tell("running", self.source.name)
                        running = True
                    if self.source.doubt != self._doubt:
                        self._doubt = self.source.doubt
                        self._tell("running", f"{self.source.name}: {self._doubt or BELIEVED}")
                    self._inbox.put(item)
                    if self._stop.is_set():
                        return None
        except SourceError as error:
            return str(error)
        except LOSSES as error:
            return self._described(error)
        return None

    def _fail(self, error: Exception) -> None:
        self._tell("failed", f"{self._described(error)}; this is a defect of the program", error)

    def _described(self, error: Exception) -> str:
        return f"{self.source.name}: {type(error).__name__}: {redacted(str(error))}"

    def _tell(self, stage: Stage, reason: str, error: Exception | None = None) -> None:
        self._inbox.notify(Notice(self.source.modality, time.monotonic(), stage, reason, error))
