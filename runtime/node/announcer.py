"""Makes events of what the loop finds, and of changes of the node itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality, State
from denet.secrets import redacted
from runtime.gallery import Space
from runtime.node.events import (
    Box,
    Condition,
    Counters,
    Embedding,
    Event,
    EventIds,
    EventMatch,
    NoticeKind,
    Sink,
    TrackEvent,
    TrackFacts,
)
from runtime.node.events.event import EmbeddingType
from runtime.node.health import Assessment, Verdict
from runtime.node.notify import Notify

AGAIN = 60.0
"""Seconds after which what was told of events is told again, if there are more."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A person that was embedded.

    Attributes:
        time: of the capture: seconds of `time.monotonic()`.
        state: in which it was embedded.
        verdicts: one for each sensor of the node.
        box: in the RGB frame; None where the frame was a crop.
        embedding: (dim,) float32, L2-normalized.
        match: whom the gallery knows in it.
        space: of the embedding.
        bundle: sha256 of the manifest of the bundle that made it.
        precisions: of the engines that ran.
    """

    time: float
    state: State
    verdicts: Mapping[Modality, Verdict]
    box: Box | None
    embedding: NDArray[np.float32]
    match: EventMatch | None
    space: Space
    bundle: str
    precisions: Mapping[str, str]


@dataclass
class _Shared:
    """What the announcers of a node and of its heads have together."""

    ids: EventIds
    lock: threading.Lock = field(default_factory=threading.Lock)
    space: Space = field(default_factory=lambda: Space(0, "", ""))


class Announcer:
    """Publishes events of a node, or of one of its heads (`of_head`), from any thread.

    Args:
        node: its name.
        sink: where events go.
        kind: how embeddings are stored in events.
        notify: told of each change of the node.
    """

    def __init__(self, node: str, sink: Sink, kind: EmbeddingType, notify: Notify) -> None:
        self._node, self._sink, self._kind, self._notify = node, sink, kind, notify
        self._head: str | msgspec.UnsetType = msgspec.UNSET
        self._shared = _Shared(EventIds(node))
        self._lock = self._shared.lock
        self._last: Assessment | None = None
        self._aside: dict[str, tuple[int, float]] = {}

    def of_head(self, name: str) -> Announcer:
        """That of a head; of the one without a name it is this one."""
        if not name:
            return self
        found = copy(self)
        found._head, found._last, notify = name, None, self._notify
        found._notify = lambda line: notify(f"{name}: {line}")
        return found

    def seen(self, sighting: Sighting) -> None:
        """A person was embedded."""
        with self._lock:
            self._sink.publish(
                Event(
                    id=self._shared.ids.next(),
                    node=self._node,
                    head=self._head,
                    time=since_1970(sighting.time),
                    kind="embedding",
                    state=sighting.state.name,
                    verdicts=_conditions(sighting.verdicts),
                    box=sighting.box,
                    embedding=Embedding.of(sighting.embedding, self._kind),
                    match=sighting.match,
                    checkpoint=sighting.space.checkpoint,
                    projection=sighting.space.projection,
                    bundle=sighting.bundle,
                    precisions=sighting.precisions,
                )
            )

    def tracked(
        self,
        facts: TrackFacts,
        *,
        time: float,
        state: str | None,
        verdicts: Mapping[Modality, Verdict],
        box: Box | None,
        match: EventMatch | None,
        last: Sighting | None,
    ) -> None:
        """Something is to be told of a track.

        Args:
            facts: what.
            time: of it: seconds of `time.monotonic()`.
            state, verdicts, box: of the last moment.
            match: whom the gallery knows in it.
            last: the last sighting that was embedded.
        """
        with self._lock:
            space = self._shared.space if last is None else last.space
            self._sink.publish(
                TrackEvent(
                    id=self._shared.ids.next(),
                    node=self._node,
                    head=self._head,
                    time=since_1970(time),
                    kind="track",
                    state=state,
                    verdicts=_conditions(verdicts),
                    box=box,
                    match=match,
                    checkpoint=space.checkpoint,
                    projection=space.projection,
                    bundle="" if last is None else last.bundle,
                    precisions={} if last is None else last.precisions,
                    track=facts,
                )
            )

    def notice(self, kind: NoticeKind, reason: str, space: Space | None = None) -> None:
        """The node changed.

        Args:
            kind: how.
            reason: why, for a person.
            space: of the embeddings from now on.
        """
        with self._lock:
            if space is not None:
                self._shared.space = space
            self._publish(kind, reason, time.monotonic())

    def judged(self, assessment: Assessment) -> None:
        """A triplet was judged: say which sensors were lost or are back."""
        with self._lock:
            before, self._last = self._last, assessment
            for m, verdict in assessment.verdicts.items():
                was = before is None or before.verdicts[m].healthy
                if was and not verdict.healthy:
                    reason = f"{m}: {verdict.fault}: {verdict.reason}"
                    self._publish("sensor lost", reason, assessment.time)
                elif verdict.healthy and not was:
                    self._publish("sensor back", m, assessment.time)
            was_well = before is None or before.state is not None
            if assessment.state is None and was_well:
                self._publish("nothing healthy", assessment.reason, assessment.time)
            elif assessment.state is not None and not was_well:
                self._publish("healthy again", assessment.state.name, assessment.time)

    def counted(self, sinks: Sequence[Counters]) -> None:
        """Events were counted: say where some were set aside, as often as once in `AGAIN`."""
        now = time.monotonic()
        for sink in sinks:
            known, said = self._aside.get(sink.sink, (sink.set_aside, -AGAIN))
            if sink.set_aside > known and now - said >= AGAIN:
                reason = f"{sink.sink}: {sink.set_aside} in all; the last: {sink.reason}"
                self.notice("event set aside", reason)
                known, said = sink.set_aside, now
            self._aside[sink.sink] = min(known, sink.set_aside), said

    def _publish(self, kind: NoticeKind, reason: str, moment: float) -> None:
        last = self._last
        reason = redacted(reason)
        self._notify(f"{kind}: {reason}")
        self._sink.publish(
            Event(
                id=self._shared.ids.next(),
                node=self._node,
                head=self._head,
                time=since_1970(moment),
                kind="notice",
                state=None if last is None or last.state is None else last.state.name,
                verdicts={} if last is None else _conditions(last.verdicts),
                notice=kind,
                reason=reason,
                checkpoint=self._shared.space.checkpoint,
                projection=self._shared.space.projection,
            )
        )


def since_1970(moment: float) -> float:
    """Seconds since 1970 (UTC) at a moment of `time.monotonic()`."""
    return time.time() - time.monotonic() + moment


def _conditions(verdicts: Mapping[Modality, Verdict]) -> dict[Modality, Condition]:
    return {m: Condition.of(verdict) for m, verdict in verdicts.items()}
