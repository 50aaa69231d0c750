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
from runtime.node.backlog import OVERFLOW, Backlog
from runtime.node.events import EventMatch, NoticeKind
from runtime.node.latency import Latencies
from runtime.node.matching import Matcher
from runtime.node.notify import Notify
from runtime.node.serving import Serving
from runtime.node.settings import BatchSettings
from runtime.node.shedding.shedder import Shedder
from runtime.node.stage import POLL
from runtime.node.stage_items import Crop
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
    otherwise. States are mixed as they come.

    Attributes:
        serving: what embeds now.
        batches: how many ran.
        latencies: from capture to event.
        swaps: how often another bundle took over.
    """

    def __init__(
        self,
        serving: Serving,
        found: Backlog[Crop],
        settings: BatchSettings,
        announcer: Announcer,
        notify: Notify,
        notify_sighting: Callable[[Sighting], None],
        tracks: Tracks | None = None,
        *,
        singly: bool = True,
    ) -> None:
        """Make one.

        Args:
            serving: the first bundle; this stage closes what it has done with.
            found: what is to be embedded.
            settings: of batches.
            announcer: is told of each embedding.
            notify: told of engines and galleries that fail, and that work again.
            notify_sighting: told of each embedding that is told singly.
            tracks: is given what is embedded; None where each crop stands alone.
            singly: whether each embedding is matched and told.
        """
        self.serving = serving
        self.batches = self.swaps = 0
        self.latencies = Latencies()
        self._found, self._settings = found, settings
        self._announcer, self._notify, self._notify_sighting = announcer, notify, notify_sighting
        self._tracks, self._singly = tracks, singly
        self._next: Serving | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._expected = 0.0  # seconds of a batch
        self._troubles: dict[str, str] = {}
        self._shedder = Shedder(self._tell_shedding)

    @property
    def shed(self) -> Mapping[tuple[State, State], int]:
        """Crops that were embedded in another state than was healthy, by both."""
        return self._shedder.counts.copy()

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
            if not crops or self._embed(crops):
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

    def _patience(self, oldest: Crop, _count: int) -> float:
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
            chosen = self._shedder.choose(table, self.serving.graph.state(crop.images))
            images = {m: crop.images[m] for m in chosen.available}
            found.append(crop if len(images) == len(crop.images) else replace(crop, images=images))
        return found

    def embed(self, crops: Sequence[Crop]) -> bool:
        """Embed crops that were taken, and tell of them, in the caller's thread; whether it could
        be done."""
        return self._embed(crops)

    def _embed(self, crops: Sequence[Crop]) -> bool:
        crops = self._cheaper(crops)
        began = time.monotonic()
        try:
            serving, embeddings = self._embedded([crop.images for crop in crops])
        except Exception as error:  # a device's, of any kind: the next batch may be better
            self._trouble("embedding", f"{type(error).__name__}: {error}")
            self._found.drop(NOT_EMBEDDED, len(crops))
            return False
        self._trouble("embedding", "")
        states = [serving.graph.state(crop.images) for crop in crops]
        matches: Sequence[EventMatch | None] = [None] * len(crops)
        if self._singly:
            matches = self._matches(serving, lambda matcher: matcher(embeddings, states), matches)
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
        if self._singly:
            for sighting in sightings:
                self._announcer.seen(sighting)
                self._notify_sighting(sighting)
        if self._tracks is not None:
            self._pool(self._tracks, serving, crops, sightings)
        for crop in crops:
            self.latencies.add(time.monotonic() - crop.time)
        self._found.leave(len(crops))
        self.batches += 1
        took = time.monotonic() - began
        self._expected += RECENT * (took - self._expected) if self._expected else took
        # A small batch takes longer for each crop, and there is time for that.
        if serving.table is not None and 2 * len(crops) >= self._settings.largest:
            self._shedder.took(serving.table, states, took)
        return True

    def _pool(
        self,
        tracks: Tracks,
        serving: Serving,
        crops: Sequence[Crop],
        sightings: Sequence[Sighting],
    ) -> None:
        changed = tracks.embedded(crops, sightings, serving.likeness)
        if not changed or serving.matcher is None:
            return
        pooled = [each for _, each in changed]
        matches = self._matches(serving, lambda matcher: matcher.pooled(pooled), ())
        tracks.known(list(zip((track for track, _ in changed), matches, strict=False)))

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
