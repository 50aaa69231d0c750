"""The last stage: crops become batches, embeddings, matches and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.graph import State
from runtime.node.announcer import Announcer, Sighting
from runtime.node.backlog import OVERFLOW
from runtime.node.events import EventMatch, NoticeKind
from runtime.node.fair_queue import FairQueue
from runtime.node.head.output import HeadOutput
from runtime.node.latency import Latencies
from runtime.node.matching import Matcher
from runtime.node.notify import Notify
from runtime.node.serving import Serving
from runtime.node.settings import BatchSettings
from runtime.node.shedding.shedder import Shedder
from runtime.node.stage import POLL
from runtime.node.stage_items import Crop
from runtime.node.tracks.live_track import LiveTrack
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.tracks import Tracks
from runtime.runtime import Sample
from runtime.serve.contract import ServeError

NOT_EMBEDDED = "not embedded"
"""The engines failed on a batch."""

TRIES = 3
"""Times that a batch is given to what embeds by then, where a server fails."""

RECENT = 0.2
"""Weight of the newest batch in the time that one is expected to take."""


class Embedder:
    """From crops to events.

    A batch begins as soon as it is full, or its oldest crop could not be done by the deadline
    otherwise. States and heads are mixed as they come.

    Attributes:
        serving: what embeds now.
        batches: how many ran.
        latencies: from capture to event.
        swaps: how often another bundle took over.
    """

    def __init__(
        self,
        serving: Serving,
        found: FairQueue[Crop],
        settings: BatchSettings,
        announcer: Announcer,
        notify: Notify,
        outputs: Mapping[str, HeadOutput],
    ) -> None:
        """Make one.

        Args:
            serving: the first bundle; this stage closes what it has done with.
            found: what is to be embedded.
            settings: of batches.
            announcer: of the node; is told of bundles and of shedding.
            notify: told of engines and galleries that fail, and that work again.
            outputs: of each head by its name: where its embeddings go.
        """
        self.serving = serving
        self.batches = self.swaps = 0
        self.latencies = Latencies()
        self._found, self._settings = found, settings
        self._announcer, self._notify, self._outputs = announcer, notify, outputs
        self._next: Serving | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._expected = 0.0  # seconds of a batch
        self._troubles: dict[str, str] = {}
        self._shedder = Shedder(self._tell_shedding)

    def offer(self, serving: Serving, before: Serving | None = None) -> None:
        """Let another bundle take over, between two batches.

        Args:
            serving: what is to embed.
            before: what has to embed until then, with nothing else offered; None for anything.
        """
        with self._lock:
            late = before is not None and (self.serving is not before or self._next is not None)
            refused = self._closed or late
            unwanted = serving if refused else self._next
            self._next = self._next if refused else serving
            if unwanted is not None:
                unwanted.close(keep=self.serving)

    def run(self, beat: Callable[[], None]) -> None:
        """Work until no crop will come any more."""
        largest = min(self._settings.largest, self.serving.runtime.max_batch)
        beat()
        while (crops := self._found.take(largest, POLL, self._patience)) is not None:
            self._take_over()
            # A batch that fails is no progress.
            if not crops or self.embed(crops):
                beat()

    @property
    def unmatched(self) -> str:
        """Why nobody is matched although there is a gallery; "" otherwise."""
        return self.serving.unmatched or self._troubles.get("matching", "")

    def close(self) -> None:
        """Release the engines, once this stage has ended."""
        with self._lock:
            self._closed, unused = True, self._next
            self._next = None
        if unused is not None:
            unused.close(keep=self.serving)
        self.serving.close()

    def _patience(self, oldest: Crop) -> float:
        """Seconds for which the oldest crop may wait for others."""
        return oldest.time + self._settings.deadline - self._expected - time.monotonic()

    def _take_over(self) -> None:
        with self._lock:
            serving, self._next = self._next, None
        if serving is not None:
            self._become(serving)

    def _become(self, serving: Serving) -> None:
        with self._lock:
            old, self.serving = self.serving, serving
        self._expected = 0.0
        if serving.runtime in old.runtimes or old.runtime in serving.runtimes:
            kind: NoticeKind = "server away" if serving.away else "server back"
            reason = serving.describe()
            self._announcer.notice(kind, reason, serving.space)
            old.close(keep=serving)
            return
        self.swaps += 1
        reason = f"{serving.describe()} instead of {old.digest[:12]}"
        if serving.unmatched:
            reason += f"; nobody is matched any more: {serving.unmatched}"
        if serving.uncompared:
            reason += f"; tracks are not compared any more: {serving.uncompared}"
        self._announcer.notice("bundle swapped", reason, serving.space)
        old.close(keep=serving)

    def _embedded(self, images: Sequence[Sample]) -> tuple[Serving, NDArray[np.float32]]:
        """The embeddings, and what made them: where that is a server that fails, what takes its
        place. Raises: whatever engines raise."""
        for _ in range(TRIES):
            serving = self.serving
            try:
                return serving, serving.runtime.embed_batch(images)
            except ServeError as error:
                self._become(serving.instead(error))
        return self.serving, self.serving.runtime.embed_batch(images)

    def _tell_shedding(self, reason: str) -> None:
        if reason:
            self._announcer.notice("shedding", reason, self.serving.space)
        else:
            self._announcer.notice("shedding over", "there is time for all", self.serving.space)

    def _cheaper(self, crops: Sequence[Crop]) -> Sequence[Crop]:
        """The crops, without the modalities that there is no time for."""
        table = self.serving.table
        if table is None:
            return crops
        account = self._found.snapshot()
        lost = sum(account.dropped.get(reason, 0) for reason in (OVERFLOW, NOT_EMBEDDED))
        self._shedder.look(table, account.left + account.held + lost, time.monotonic())
        found = []
        for crop in crops:
            healthy = self.serving.graph.state(crop.images)
            chosen = self._shedder.choose(table, healthy)
            if chosen != healthy:
                self._outputs[crop.head].shed[healthy, chosen] += 1
            images = {m: crop.images[m] for m in chosen.available}
            found.append(crop if len(images) == len(crop.images) else replace(crop, images=images))
        return found

    def embed(self, crops: Sequence[Crop]) -> bool:
        """Embed crops that were taken, and tell of them, in the caller's thread; whether it could
        be done."""
        crops = self._cheaper(crops)
        began = time.monotonic()
        try:
            serving, embeddings = self._embedded([crop.images for crop in crops])
        except Exception as error:  # a device's, of any kind: the next batch may be better
            self._trouble("embedding", f"{type(error).__name__}: {error}")
            self._found.drop(NOT_EMBEDDED)
            return False
        self._trouble("embedding", "")
        states = [serving.graph.state(crop.images) for crop in crops]
        outputs = [self._outputs[crop.head] for crop in crops]
        matches = self._singly(serving, embeddings, states, [each.singly for each in outputs])
        sightings = [
            Sighting(
                time=crop.time,
                state=state,
                verdicts=crop.verdicts,
                box=crop.box,
                embedding=vector,
                match=match,
                space=serving.space,
                bundle=serving.digest,
                precisions=serving.precisions[state],
            )
            for crop, state, vector, match in zip(crops, states, embeddings, matches, strict=True)
        ]
        for sighting, output in zip(sightings, outputs, strict=True):
            if output.singly:
                output.announcer.seen(sighting)
                output.notify_sighting(sighting)
        self._pool(serving, crops, sightings)
        for crop, output in zip(crops, outputs, strict=True):
            took = time.monotonic() - crop.time
            self.latencies.add(took)
            output.latencies.add(took)
        self._found.leave()
        self.batches += 1
        took = time.monotonic() - began
        self._expected += RECENT * (took - self._expected) if self._expected else took
        # A small batch takes longer for each crop, and there is time for that.
        if serving.table is not None and 2 * len(crops) >= self._settings.largest:
            self._shedder.took(serving.table, states, took)
        return True

    def _singly(
        self,
        serving: Serving,
        embeddings: NDArray[np.float32],
        states: Sequence[State],
        wanted: Sequence[bool],
    ) -> Sequence[EventMatch | None]:
        """Whom the gallery knows in each of those that are told singly."""
        matches: list[EventMatch | None] = [None] * len(states)
        rows = [row for row, each in enumerate(wanted) if each]
        if rows:
            some = [states[row] for row in rows]
            found = self._matches(serving, lambda matcher: matcher(embeddings[rows], some), ())
            for row, match in zip(rows, found, strict=False):
                matches[row] = match
        return matches

    def _pool(self, serving: Serving, crops: Sequence[Crop], sightings: Sequence[Sighting]) -> None:
        """Give tracks what was embedded of them, and ask the gallery for those of all heads."""
        changed: list[tuple[str, Tracks, LiveTrack, Pooled]] = []
        for head in dict.fromkeys(crop.head for crop in crops):
            if (tracks := self._outputs[head].tracks) is None:
                continue
            mine = [i for i, crop in enumerate(crops) if crop.head == head]
            some, seen = [crops[i] for i in mine], [sightings[i] for i in mine]
            likeness = serving.likenesses.get(head)
            with self._outputs[head].contained():
                found = tracks.embedded(some, seen, likeness)
                changed += [(head, tracks, *each) for each in found]
        if not changed or serving.matcher is None:
            return
        pooled = [each for *_, each in changed]
        matches = self._matches(serving, lambda matcher: matcher.pooled(pooled), ())
        for (head, tracks, track, _), match in zip(changed, matches, strict=False):
            with self._outputs[head].contained():
                tracks.known([(track, match)])

    def _matches(
        self,
        serving: Serving,
        search: Callable[[Matcher], Sequence[EventMatch | None]],
        nobody: Sequence[EventMatch | None],
    ) -> Sequence[EventMatch | None]:
        """What a search of the gallery finds; `nobody` where it cannot be searched."""
        if serving.matcher is None:
            return nobody
        try:
            matches = search(serving.matcher)
        except DenetError as error:
            self._trouble("matching", str(error))
            return nobody
        self._trouble("matching", "")
        stale = serving.matcher.stale
        self._trouble("gallery", stale and f"{stale}: matched with what was known before")
        return matches

    def _trouble(self, what: str, reason: str) -> None:
        """Say what fails when it begins to, and when it works again."""
        if self._troubles.get(what, "") != reason:
            self._notify(f"{what} fails: {reason}" if reason else f"{what} works again")
        self._troubles[what] = reason
