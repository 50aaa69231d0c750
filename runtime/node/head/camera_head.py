"""A camera head of a node, which begins anew where a defect has ended it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from denet.errors import DenetError
from denet.graph import Modality
from denet.secrets import redacted
from runtime.node.backlog import Account, total
from runtime.node.backoff import Backoff
from runtime.node.head.output import HeadOutput
from runtime.node.head.run import HeadParts, HeadRun
from runtime.node.head.snapshot import HeadSnapshot
from runtime.node.sources import Source
from runtime.node.stage import Stage
from runtime.node.tracks.snapshot import TracksSnapshot, all_tracks
from runtime.node.tracks.tracks import Tracks

LOST = "head lost"
"""What was under way when a defect ended a head."""

STEADY = 10.0
"""Seconds for which a head must have gone on to count as back."""


class CameraHead:
    """Runs a head in threads of its own, to its end.

    A defect ends the head without a name, and with it the node. One that has a name is begun anew
    by `tend`, after waits that double up to 30 s; what was under way is dropped as `LOST`, people
    who left stay known, and its accounts go on.

    Attributes:
        name: of it.
        output: where the engines leave what they made of its crops.

    Args:
        parts: what is the same in all its lives.
        open_sources: opens its sources anew. Raises: DenetError: one cannot be.
        output: see above; its tracks are those of the first life.
        make_tracks: the tracks of another life, by those before.
        matched: how many were recognized so far.
        failed: told which stage of a head without a name a defect ended, and what it was.
        sources: of the first life.
    """

    def __init__(
        self,
        parts: HeadParts,
        sources: Mapping[Modality, Source],
        open_sources: Callable[[], Mapping[Modality, Source]],
        output: HeadOutput,
        make_tracks: Callable[[Tracks], Tracks],
        matched: Callable[[], int],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self.name, self.output = parts.settings.name, output
        self._parts, self._open_sources, self._make_tracks = parts, open_sources, make_tracks
        self._matched, self._notify_failed = matched, failed
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._stopped = False
        self._backoff = Backoff()
        self._began = 0.0
        self._due: float | None = None  # when the next life begins
        self._failure = ""  # of this life
        self._failures = 0
        self._troubles: dict[str, str] = {}
        self._told = False  # that it is lost
        self._past_frames: dict[Modality, Account] = {}
        self._past_triplets = Account()
        self._past_tracks: list[TracksSnapshot] = []
        if self.name:
            output.failed = lambda error: self._fail("tracks", error)
        self._run: HeadRun | None = self._made(sources)
        self._stages = self._run.stages

    @property
    def stages(self) -> list[Stage]:
        """Its threads, those of its last life where it waits for the next."""
        return self._stages

    @property
    def over(self) -> bool:
        """Whether nothing will come of it any more."""
        return self._over.is_set()

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        if self._run is not None:
            self._run.start()

    def stop(self, *, now: bool = False) -> None:
        """Take in no more frames, and finish those that are under way; does not wait.

        Args:
            now: drop those, too.
        """
        with self._lock:
            self._stopped = True
            run = self._run
        if run is not None:
            run.stop(now=now)
        if now:
            self._parts.lane.clear()

    def join(self, timeout: float) -> bool:
        """Wait until it is over, at most `timeout` seconds; whether it is, or never began."""
        end = time.monotonic() + timeout
        run = self._run
        if self.name and self._began and not self._over.wait(timeout):
            return False
        work = [] if run is None else run.work
        return all(stage.join(max(0.0, end - time.monotonic())) for stage in work)

    def tend(self) -> None:
        """Begin it anew where a defect has ended it and its time has come; of a head with a name,
        about four times a second, in one thread."""
        now = time.monotonic()
        if self.over:
            return
        if not self._failure:
            if "defect" in self._troubles and now - self._began >= STEADY:
                self._backoff.reset()
                self._tell("defect", "", "it goes on")
            return
        if self._run is not None:
            if not all(stage.join(0.0) for stage in self._stages):
                return  # what hangs in a driver cannot be ended, and may still hold the camera
            self._settle(self._run)
            if self.output.tracks is not None:
                self._renew_tracks(self.output.tracks)
            self._due = now + self._backoff.next()
        if self._stopped:
            self._end()
        elif self._due is not None and now >= self._due:
            self._begin_anew()

    def finish(self) -> None:
        """Nobody will be seen any more: end all tracks."""
        if self.output.tracks is not None:
            self.output.tracks.finish()

    def snapshot(self) -> HeadSnapshot:
        """All of it at one moment."""
        output = self.output
        with self._lock:
            run = self._run
            frames = {m: [account] for m, account in self._past_frames.items()}
            triplets = [self._past_triplets]
            if run is not None:
                for m, account in run.frames().items():
                    frames.setdefault(m, []).append(account)
                triplets.append(run.triplets())
            tracks = list(self._past_tracks)
            if output.tracks is not None:
                tracks.append(output.tracks.snapshot())
            lost = "; ".join(self._troubles.values())
        return HeadSnapshot(
            name=self.name,
            assessment=None if run is None else run.assessment,
            frames={m: total(accounts) for m, accounts in frames.items()},
            triplets=total(triplets),
            crops=self._parts.lane.snapshot(),
            latency=output.latencies.snapshot(),
            matched=self._matched(),
            tracks=all_tracks(tracks),
            shed={(a.name, b.name): n for (a, b), n in output.shed.copy().items()},
            pixels={} if run is None else run.pixels,
            views=self._parts.views,
            failures=self._failures,
            lost=redacted(lost),
        )

    def _notify_boxes(self, reason: str) -> None:
        """The finder fails, or ("") works again."""
        self._parts.notify(reason or "boxes are found again")
        if self.name:
            self._tell("boxes", reason, "boxes are found again")

    def _made(self, sources: Mapping[Modality, Source]) -> HeadRun:
        tracks = self.output.tracks
        return HeadRun(self._parts, sources, tracks, self._notify_boxes, self._fail, self._ended)

    def _ended(self) -> None:
        if not self._failure:
            self._end()

    def _end(self) -> None:
        self._parts.lane.close()
        self._over.set()

    def _fail(self, stage: str, error: BaseException) -> None:
        """In the thread of a stage that a defect has ended, or in that of the engines."""
        with self._lock:
            again = bool(self._failure)
            self._failure = self._failure or f"{stage}: {type(error).__name__}: {error}"
            self._failures += not again
            run = self._run
        if run is not None:
            run.stop(now=True)
        if not self.name:
            self._notify_failed(stage, error)
            self._end()
        elif not again:
            self._tell("defect", self._failure.removeprefix(f"{self.name}: "))

    def _tell(self, what: str, reason: str, well: str = "") -> None:
        """Say that it is lost when the first trouble begins, and that it is back when none is
        left."""
        with self._lock:
            if reason:
                self._troubles[what] = reason
            else:
                self._troubles.pop(what, None)
            lost, told = "; ".join(self._troubles.values()), self._told
            self._told = bool(lost)
        if lost and not told:
            self._parts.announcer.notice("head lost", lost)
        elif told and not lost:
            self._parts.announcer.notice("head back", well)

    def _settle(self, run: HeadRun) -> None:
        """Keep what became of the frames of a life that is over."""
        with self._lock:
            for m, account in run.frames().items():
                before = self._past_frames.get(m, Account())
                self._past_frames[m] = total([before, _settled(account)])
            self._past_triplets = total([self._past_triplets, _settled(run.triplets())])
            self._run = None

    def _begin_anew(self) -> None:
        try:
            run = self._made(self._open_sources())
        except (DenetError, OSError) as error:
            self._due = time.monotonic() + self._backoff.next()
            self._parts.notify(f"cannot begin anew: {error}")
            return
        for old, new in zip(self._stages, run.stages, strict=True):
            new.failures, new.failure = old.failures, old.failure
        with self._lock:
            self._failure, self._due = "", None
            self._troubles.pop("boxes", None)  # nothing has failed in this life yet
            self._run, self._stages = run, run.stages
            self._began = time.monotonic()
            stopped = self._stopped
        run.start()
        if stopped:
            run.stop()

    def _renew_tracks(self, before: Tracks) -> None:
        try:
            before.finish()
        except Exception as error:  # it may be what was wrong with it
            self._parts.notify(f"tracks are not told to their end: {type(error).__name__}: {error}")
        with self._lock:
            snapshot = before.snapshot()
            account = _settled(snapshot.account)
            self._past_tracks.append(replace(snapshot, account=account, tracks=(), recents=0))
            self._past_tracks = [each for each in [all_tracks(self._past_tracks)] if each]
            self.output.tracks = self._make_tracks(before)


def _settled(account: Account) -> Account:
    """Of a life that is over: what was held is lost."""
    if not account.held:
        return account
    return total([replace(account, held=0), Account(dropped={LOST: account.held})])
