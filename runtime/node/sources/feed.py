"""Keeps a source running in a thread of its own, whatever becomes of the camera."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from denet.secrets import redacted
from runtime.node.backoff import Backoff
from runtime.node.sources.base import Source
from runtime.node.sources.frame import Notice, SourceError, Stage
from runtime.node.sources.inbox import Inbox
from runtime.node.stage import POLL, Beat
from runtime.node.stage import Stage as Thread

LOSSES = (OSError, MemoryError)
"""Beside `SourceError`: what the camera, its decoder or the system can be blamed for, and what may
be gone at the next try. Anything else is a defect of this program, which another try meets
again."""

PATIENCE = 60.0
"""Seconds that a source may give no sign of life beside its own timeout: so long a system may take
to find a camera by its name."""

STEADY = 10.0
"""Seconds that a connection must have held for the next loss to be tried again at once."""


BELIEVED = "its time stamps are believed again"


class Feed:
    """Takes the frames of one source into the inbox, and connects to a camera again for ever.

    A recording that cannot be read has ended: another try meets the same file, from its beginning.

    A defect ends it, and a notice says so: it would pass for a dead camera otherwise.

    A source that blocks blocks its own thread alone. The thread is a daemon, so that one stuck in
    a driver cannot keep the process from ending.

    Attributes:
        stage: its thread.

    Args:
        source: where the frames come from.
        inbox: where they go.
        backoff: how long to wait between two tries.
        head: whose source it is, for the name of its thread: "east: ".
    """

    def __init__(
        self, source: Source, inbox: Inbox, backoff: Backoff | None = None, head: str = ""
    ) -> None:
        self.source = source
        self._inbox = inbox
        self._backoff = backoff or Backoff()
        self._doubt = ""  # what was told of it
        self._stop = _Stop()
        # It opens, and then reads.
        patience = PATIENCE + 2 * source.timeout
        self.stage = Thread(
            f"{head}source {source.modality}", self._run, self._fail, patience=patience
        )

    def start(self) -> None:
        """Begin."""
        self.stage.start()

    def stop(self) -> None:
        """Ask it to end; does not wait."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        return self.stage.join(timeout)

    def _run(self, beat: Beat) -> None:
        self._stop.beat = beat
        while not self._stop.is_set():
            self._tell("opening", self.source.name)
            began = time.monotonic()
            reason = self._connection(beat)
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

    def _connection(self, beat: Beat) -> str | None:
        """Run one connection to its end: None, or why it was lost."""
        try:
            running = False
            with closing(self.source.frames(self._stop)) as frames:
                for item in frames:
                    beat()
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

    def _fail(self, _stage: str, error: BaseException) -> None:
        self._tell("failed", f"{self._described(error)}; this is a defect of the program", error)

    def _described(self, error: BaseException) -> str:
        return f"{self.source.name}: {type(error).__name__}: {error}"

    def _tell(self, stage: Stage, reason: str, error: BaseException | None = None) -> None:
        """Leave a notice. What a source says of itself passes here, so secrets end here."""
        shown = redacted(reason)
        self._inbox.notify(Notice(self.source.modality, time.monotonic(), stage, shown, error))


class _Stop(threading.Event):
    """Asks a source to end. One that waits for that, as a recording between two frames, lives."""

    def __init__(self) -> None:
        super().__init__()
        self.beat: Beat = lambda: None

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is to end; waits for it as long as `timeout` seconds."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while not super().wait(max(0.0, min(POLL, end - time.monotonic()))):
            self.beat()
            if time.monotonic() >= end:
                return False
        return True
