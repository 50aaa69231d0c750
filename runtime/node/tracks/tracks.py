"""Follows people from box to box, decides what is embedded, and tells of each of them as one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from denet.graph import Modality
from runtime.node.announcer import Announcer, Sighting
from runtime.node.backlog import Account
from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.node.events import EventMatch, TrackChange
from runtime.node.events.event import EmbeddingType
from runtime.node.sources.frame import Pixels
from runtime.node.stage_items import Crop, Moment, Wanted
from runtime.node.status.thumbnail import thumbnail
from runtime.node.tracks.correction import Correction
from runtime.node.tracks.crossings import Crossings, exchanged
from runtime.node.tracks.likeness import LEAST_WEIGHT, Likeness
from runtime.node.tracks.live_track import BestCrop, LiveTrack, new_id
from runtime.node.tracks.path import Path
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.quality import quality
from runtime.node.tracks.recents import Recents
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.snapshot import TrackInView, TracksSnapshot
from runtime.node.tracks.telling import track_facts
from runtime.node.tracks.tracker import Tracker, Tracklet

UNCONFIRMED = "unconfirmed"
"""A box that is of no track, or not yet; a track that the next moments did not confirm."""

NOTHING_NEW = "adds nothing"
"""A crop that says nothing which its track has not said."""

CONTINUED = "continued"
"""A track that turned out to be the rest of one that was lost."""


class Tracks:
    """The tracks of a head. Two threads use it: that of the boxes and that of the engines.

    Args:
        settings: the configuration.
        announcer: is told of each track.
        size: (width, height) of the network's input.
        likeness: compares embeddings of the first bundle; None if they are not compared.
        kind: how embeddings are stored in events.
        notify_known: told of a track in which the gallery knows somebody, once for each identity.
        before: of the same head, which have ended: people who left stay known.
        notify_corrected: told where boxes turn out to be of another track than was said.
        notify_pictured: told of each embedding: id of the track, weight, and the crop.
    """

    def __init__(
        self,
        settings: TrackSettings,
        announcer: Announcer,
        size: tuple[int, int],
        likeness: Likeness | None,
        kind: EmbeddingType,
        notify_known: Callable[[Sighting, EventMatch], None],
        before: Tracks | None = None,
        notify_corrected: Callable[[Correction], None] = lambda _correction: None,
        notify_pictured: Callable[[str, float, Crop], None] = lambda *_: None,
    ) -> None:
        self._settings, self._announcer, self._size = settings, announcer, size
        self._likeness, self._kind = likeness or Likeness(None, None), kind
        self._notify_known, self._notify_corrected = notify_known, notify_corrected
        self._notify_pictured = notify_pictured
        self._lock = threading.Lock()
        self._tracker: Tracker = Tracker(settings, 0 if before is None else before._tracker.last)
        self._crossings = Crossings()
        self._recents = Recents(settings.recents, settings.remember)
        if before is not None:
            self._recents = before._recents
        self._tracks: dict[int, LiveTrack] = {}  # by tracklet
        self._held: dict[int, Pooled] = {}  # what waits for a crossing, by tracklet
        self._ended = 0
        self._counts: Counter[str] = Counter()

    def see(
        self,
        moment: Moment,
        found: Sequence[Detection],
        images: Sequence[Mapping[Modality, Pixels] | str],
        frame: tuple[int, int] | None,
    ) -> list[Wanted | str]:
        """Take the boxes of a moment in.

        Args:
            moment: when.
            found: who was found.
            images: the pixels of each by modality, or why there are none.
            frame: (width, height) of the RGB frame; None where it is not known.

        Returns:
            For each what its crop is wanted for, or why it is not embedded.
        """
        with self._lock:
            owners = self._tracker.update(moment.time, found)
            self._crossings.look(moment.time, [t for t in self._tracker.tracklets if t.confirmed])
            answers = []
            for i, owner in enumerate(owners):
                others = [each.box for j, each in enumerate(found) if j != i]
                answers.append(self._asked(moment, found[i], owner, images[i], frame, others))
            self._pass(moment.time)
            return answers

    def wait(self, time: float) -> None:
        """Time passes, and there are no boxes."""
        with self._lock:
            self._pass(time)

    def embedded(
        self, crops: Sequence[Crop], sightings: Sequence[Sighting], likeness: Likeness | None
    ) -> list[tuple[LiveTrack, Pooled]]:
        """Take embeddings in.

        Args:
            crops: that were wanted.
            sightings: what was made of each.
            likeness: compares them; None if they are not compared.

        Returns:
            The tracks of which more is known now, each with what is pooled of it.
        """
        with self._lock:
            self._likeness = likeness or Likeness(None, None)
            changed: dict[int, None] = {}
            for crop, sighting in zip(crops, sightings, strict=True):
                wanted = crop.wanted
                track = None if wanted is None else self._tracks.get(wanted.tracklet)
                if wanted is not None and track is not None:  # it may have ended meanwhile
                    self._take_in(track, crop, wanted, sighting)
                    changed[wanted.tracklet] = None
            for id_ in changed:
                self._recognize(self._tracks[id_])
            tracks = [self._tracks[id_] for id_ in changed]
            return [(track, track.pooled.copy()) for track in tracks if track.pooled is not None]

    def known(self, matches: Sequence[tuple[LiveTrack, EventMatch | None]]) -> None:
        """The gallery was asked for tracks.

        Args:
            matches: whom it knows in each.
        """
        with self._lock:
            for track, match in matches:
                if self._tracks.get(track.tracklet.id) is not track or track.last is None:
                    continue
                track.match = match
                if match is not None and match.identity != track.identity:
                    self._counts["identified"] += track.identity is None
                    track.identity = match.identity
                    self._tell(track, "identified")
                    self._notify_known(track.last, match)

    def finish(self) -> None:
        """Nobody will be seen any more: end all tracks."""
        with self._lock:
            self._tracker.forget_unconfirmed()
            for track in list(self._tracks.values()):
                self._end(track)

    def snapshot(self) -> TracksSnapshot:
        """All tracks at one moment."""
        with self._lock:
            tracker, counts = self._tracker, self._counts
            dropped = {UNCONFIRMED: tracker.unconfirmed, CONTINUED: counts["resumed"]}
            held = len(tracker.tracklets)
            tracks = [_in_view(track) for track in self._tracks.values()]
            return TracksSnapshot(
                account=Account(tracker.begun, self._ended, +Counter(dropped), held),
                tracks=sorted(tracks, key=lambda track: -track.seconds),
                embedded=counts["embedded"],
                identified=counts["identified"],
                resumed=counts["resumed"],
                exchanged=counts["exchanged"],
                returned=counts["returned"],
                recents=len(self._recents),
            )

    # Boxes

    def _asked(
        self,
        moment: Moment,
        detection: Detection,
        owner: Tracklet | None,
        images: Mapping[Modality, Pixels] | str,
        frame: tuple[int, int] | None,
        others: Sequence[Box],
    ) -> Wanted | str:
        track = self._followed(owner, moment) if owner is not None and owner.confirmed else None
        if isinstance(images, str) or track is None:
            return images if isinstance(images, str) else UNCONFIRMED
        id_, available = track.tracklet.id, tuple(images)
        track.states[available], track.state = None, available
        decides = self._crossings.wants(id_)
        if self._crossings.holds(id_) and not decides:  # nobody can tell whom it shows
            return NOTHING_NEW
        if not decides and not track.may_add(moment.time, available, self._settings):
            return NOTHING_NEW
        worth = quality(detection.box, images, detection.score, frame, others, self._size)
        if not decides and not track.adds(moment.time, available, worth, self._settings):
            return NOTHING_NEW
        self._crossings.ask(id_)
        track.seek(moment.time, available, worth)
        return Wanted(id_, worth)

    def _followed(self, owner: Tracklet, moment: Moment) -> LiveTrack:
        track = self._tracks.get(owner.id)
        if track is None:
            path = Path(self._settings.path)
            # The boxes before it was confirmed are its own, too.
            track = LiveTrack(new_id("track"), owner, path, owner.began, boxes=owner.hits - 1)
            self._tracks[owner.id] = track
        track.boxes += 1
        track.verdicts = moment.verdicts
        track.path.add(moment.time, owner.box)
        return track

    # Embeddings

    def _take_in(self, track: LiveTrack, crop: Crop, wanted: Wanted, sighting: Sighting) -> None:
        self._counts["embedded"] += 1
        state = sighting.state
        weight = max(LEAST_WEIGHT, wanted.quality * self._likeness.weight(state))
        single = Pooled(sighting.space)
        single.add(state, sighting.embedding, weight)
        if track.pooled is not None and track.pooled.space != single.space:
            track.pooled = None  # of another bundle: nothing before can be compared with it
            self._held.pop(wanted.tracklet, None)
        if track.pooled is not None and self._crossings.holds(wanted.tracklet):
            self._crossings.add(wanted.tracklet, single)
            held = self._held.get(wanted.tracklet)
            if held is None or held.space != single.space:
                self._held[wanted.tracklet] = single
            else:
                held.merge(single)
        else:
            _pool(track, single)
        track.last = sighting
        self._notify_pictured(track.id, weight, crop)
        if self._settings.crops:
            full = len(track.crops) == self._settings.crops
            if not full or weight > track.crops[-1].weight:
                pictures = {m: thumbnail(image) for m, image in crop.images.items()}
                kept = BestCrop(weight, crop.time, state, pictures)
                track.keep(kept, self._settings.crops)

    def _recognize(self, track: LiveTrack) -> None:
        """Is it somebody who was here before?"""
        if track.pooled is None:
            return
        if track.told is None and (lost := self._lost_like(track)) is not None:
            self._continue(lost, track)
            return
        if not track.settled:
            # Nobody is in view twice at once.
            busy = {
                t.person
                for t in self._tracks.values()
                if t.person is not None and t.tracklet.seen >= track.began
            }
            label = track.tracklet.label
            back = self._recents.find(track.pooled, label, self._likeness, busy)
            if back is not None:
                other = track.person is not None
                track.person, track.settled = back, True
                self._counts["returned"] += 1
                if other and track.told is not None:
                    self._tell(track, "updated")
        if track.person is None:
            track.person = new_id("anonymous")
        if track.told is None:
            self._tell(track, "started")

    def _lost_like(self, track: LiveTrack) -> LiveTrack | None:
        """Who was lost before this track began, and looks the same."""
        assert track.pooled is not None
        best: tuple[float, LiveTrack] | None = None
        for other in self._tracks.values():
            over = not other.tracklet.present and other.tracklet.seen < track.began
            if not over or other.pooled is None or other.tracklet.label != track.tracklet.label:
                continue
            score = self._likeness.score(track.pooled, other.pooled)
            if score is not None and self._likeness.same(score) and (not best or score > best[0]):
                best = score, other
        return None if best is None else best[1]

    def _continue(self, lost: LiveTrack, rest: LiveTrack) -> None:
        """The one goes on as the other."""
        self._counts["resumed"] += 1
        self._tracker.remove(lost.tracklet)
        self._held.pop(lost.tracklet.id, None)
        del self._tracks[lost.tracklet.id]
        self._notify_corrected(Correction(rest.id, lost.id))
        lost.take_over(rest)
        self._tracks[rest.tracklet.id] = lost

    def _decide(self, time: float) -> None:
        alive = {id_: track.tracklet.present for id_, track in self._tracks.items()}
        for crossing in self._crossings.decided(time, alive):
            pair = [self._tracks.get(id_) for id_ in crossing.pair]
            pooled = {
                id_: None if track is None else track.pooled
                for id_, track in zip(crossing.pair, pair, strict=True)
            }
            one, other = pair
            if (
                one is not None
                and other is not None
                and exchanged(crossing, pooled, self._likeness)
            ):
                self._exchange(one, other, crossing.began)
        for id_ in [id_ for id_ in self._held if not self._crossings.holds(id_)]:
            held, track = self._held.pop(id_), self._tracks.get(id_)
            if track is not None:
                _pool(track, held)

    def _exchange(self, one: LiveTrack, other: LiveTrack, since: float) -> None:
        """Each was the other since they met."""
        self._counts["exchanged"] += 1
        self._notify_corrected(Correction(one.id, other.id, exchanged_since=since))
        one.tracklet, other.tracklet = other.tracklet, one.tracklet
        for track in (one, other):
            self._tracks[track.tracklet.id] = track
        mine, its = one.path.since(since), other.path.since(since)
        one.path.extend(its)
        other.path.extend(mine)

    # Time and telling

    def _pass(self, time: float) -> None:
        self._decide(time)
        for track in list(self._tracks.values()):
            if time - track.tracklet.seen > self._settings.lost:
                self._end(track)
            elif self._is_due(track, time):
                self._tell(track, "updated")
        self._recents.expire(time)

    def _is_due(self, track: LiveTrack, time: float) -> bool:
        if track.told is None or not track.tracklet.present:
            return False
        return time - track.told >= self._settings.update

    def _end(self, track: LiveTrack) -> None:
        id_ = track.tracklet.id
        if (held := self._held.pop(id_, None)) is not None:
            _pool(track, held)
        if track.told is None:  # it was never embedded: this is all that there is to tell
            self._tell(track, "started")
        self._tell(track, "ended")
        del self._tracks[id_]
        if track.tracklet in self._tracker.tracklets:
            self._tracker.remove(track.tracklet)
        self._ended += 1
        if track.person is not None and track.pooled is not None:
            seen = track.tracklet.seen
            self._recents.left(track.person, track.pooled, track.tracklet.label, seen)

    def _tell(self, track: LiveTrack, change: TrackChange) -> None:
        track.told = track.tracklet.seen
        self._announcer.tracked(
            track_facts(track, change, self._kind),
            time=track.began if change == "started" else track.tracklet.seen,
            state="+".join(track.state) or None,
            verdicts=track.verdicts,
            box=track.tracklet.box,
            match=track.match,
            last=track.last,
        )


def _pool(track: LiveTrack, single: Pooled) -> None:
    if track.pooled is None:
        track.pooled = single
    elif track.pooled.space == single.space:
        track.pooled.merge(single)


def _in_view(track: LiveTrack) -> TrackInView:
    return TrackInView(
        id=track.id,
        person=track.person,
        identity=track.identity,
        seconds=track.tracklet.seen - track.began,
        state="+".join(track.state),
        boxes=track.boxes,
        embedded=0 if track.pooled is None else track.pooled.count,
        box=track.tracklet.box,
        present=track.tracklet.present,
    )
