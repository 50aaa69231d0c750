"""The first stage: frames are matched and judged, and what is healthy goes on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from denet.graph import Modality
from runtime.node.announcer import Announcer
from runtime.node.backlog import Account, Backlog
from runtime.node.health import Assessment, Health
from runtime.node.notify import Notify
from runtime.node.sources import Frame, Inbox, Notice, Synchronizer, Triplet
from runtime.node.sources.frame import Pixels
from runtime.node.stage import POLL
from runtime.node.stage_items import Moment

NOT_HEALTHY = "nothing healthy"
"""A triplet of which nothing may be used."""

BURST = 0.01
"""Seconds to wait for room: triplets come in bursts where one that is missing was waited for."""

OVERRUN = "overrun"
"""A frame that was pushed out of the inbox by newer ones."""


class Intake:
    """From the inbox to moments.

    Attributes:
        assessment: the last; None before the first triplet.
        pixels: the last of each sensor, whatever their verdict.

    Args:
        inbox: where the sources leave frames.
        synchronizer: matches them.
        health: judges them.
        moments: where healthy ones go.
        announcer: told of each assessment.
        notify: told what becomes of sources.
        drain: seconds that it may wait for room in `moments` at the end.
    """

    def __init__(
        self,
        inbox: Inbox,
        synchronizer: Synchronizer,
        health: Health,
        moments: Backlog[Moment],
        announcer: Announcer,
        notify: Notify,
        drain: float,
    ) -> None:
        self._inbox, self._synchronizer, self._health = inbox, synchronizer, health
        self._moments, self._announcer, self._notify = moments, announcer, notify
        self._drain = drain
        self._stop = threading.Event()
        self._running = set(inbox.modalities)
        self._defect: BaseException | None = None  # that a source met
        # Between inbox and synchronizer no frame may be seen on neither side.
        self._moving = threading.Lock()
        self.assessment: Assessment | None = None
        self.pixels: dict[Modality, Pixels] = {}

    def stop(self) -> None:
        """Finish what has come, and end."""
        self._stop.set()

    def run(self, beat: Callable[[], None]) -> None:
        """Work until the sources end, or `stop` is called.

        Raises:
            Exception: a source met a defect of this program: that one.
        """
        while self._running and not self._stop.is_set():
            beat()
            self._inbox.wait(POLL)
            for triplet in self._matched():
                self._judge(triplet, BURST)
            if self._defect is not None:
                raise self._defect
        self._inbox.close()
        for triplet in self._matched(last=True):
            beat()
            self._judge(triplet, self._drain)
        self._moments.close()

    def snapshot(self) -> Mapping[Modality, Account]:
        """What became of the frames of each modality: those that left are in triplets."""
        with self._moving:
            received, overrun, waiting = self._inbox.counts()
            held = self._synchronizer.held
            used = self._synchronizer.used.copy()
            dropped = self._synchronizer.dropped.copy()
        found: dict[Modality, Account] = {}
        for m in self._inbox.modalities:
            given_up: Counter[str] = Counter({OVERRUN: overrun[m]})
            given_up.update({why: n for (whose, why), n in dropped.items() if whose == m})
            found[m] = Account(received[m], used[m], +given_up, waiting[m] + held[m])
        return found

    def _matched(self, *, last: bool = False) -> list[Triplet]:
        """Take in what has come: the triplets that are complete, or all of them."""
        with self._moving:
            items = self._inbox.take(0.0)
            now = time.monotonic()
            for item in items:
                if isinstance(item, Notice):
                    self._hear(item)
                else:
                    self._synchronizer.push(item, now)
            return self._synchronizer.flush(now) if last else self._synchronizer.poll(now)

    def _hear(self, notice: Notice) -> None:
        self._health.hear(notice)
        if notice.stage != "opening":
            self._notify(f"{notice.modality}: {notice.stage}: {notice.reason}")
        if notice.stage == "ended":
            self._running.discard(notice.modality)
        self._defect = self._defect or notice.error

    def _judge(self, triplet: Triplet, patience: float) -> None:
        assessment = self._health.judge(triplet, time.monotonic())
        self._announcer.judged(assessment)
        self.assessment = assessment
        frames = {m: item for m, item in triplet.frames.items() if isinstance(item, Frame)}
        self.pixels = {**self.pixels, **{m: frame.image for m, frame in frames.items()}}
        if assessment.state is None:
            self._moments.refuse(NOT_HEALTHY)
            return
        healthy = {m: frames[m] for m in assessment.state.available}
        self._moments.put(Moment(triplet.time, healthy, assessment.verdicts), patience)
