"""The second stage: persons are found and cut out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from denet.graph import Modality
from denet.pixels import Range
from runtime.node.backlog import Backlog
from runtime.node.boxes.box import Box
from runtime.node.boxes.cropping import brought_to_8_bits, crops
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.finder import Finder, look
from runtime.node.boxes.homography import Views, frame_size
from runtime.node.sources.frame import Pixels
from runtime.node.stage import POLL
from runtime.node.stage_items import Crop, Moment, Wanted
from runtime.node.tracks.tracks import Tracks

NO_BOXES = "no boxes"
"""The finder failed on a moment."""


class Cutter:
    """From moments to crops.

    Args:
        moments: what is healthy.
        found: where crops go.
        finder: tells where persons are.
        views: where a place of the RGB frame is in other modalities.
        notify_failing: told why the finder fails when it begins to, and "" when it works again.
        drain: seconds that it may wait for room in `found` at the end.
        tracks: follows who is found; None where each crop stands alone.
        head: its name.
        ranges: the values of black and white of sensors whose crops are brought to 8 bits here.
    """

    def __init__(
        self,
        moments: Backlog[Moment],
        found: Backlog[Crop],
        finder: Finder,
        views: Views | None,
        notify_failing: Callable[[str], None],
        drain: float,
        tracks: Tracks | None = None,
        *,
        head: str = "",
        ranges: Mapping[Modality, Range] | None = None,
    ) -> None:
        self._moments, self._found = moments, found
        self._finder, self._views = finder, views
        self._notify_failing, self._drain, self._tracks = notify_failing, drain, tracks
        self._head, self._ranges = head, ranges or {}
        self._failing = False

    def run(self, beat: Callable[[], None]) -> None:
        """Work until no moment will come any more."""
        while (moments := self._moments.take(1, POLL)) is not None:
            beat()
            for moment in moments:
                self._cut(moment)
            if not moments and self._tracks is not None:
                self._tracks.wait(time.monotonic())

    def cut(self, moment: Moment) -> None:
        """Find and cut who is in a moment that was taken, in the caller's thread."""
        self._cut(moment)

    def _cut(self, moment: Moment) -> None:
        try:
            put = self._find(moment)
        except Exception as error:  # an application's, of any kind
            if not self._failing:
                self._notify_failing(f"no boxes: {type(error).__name__}: {error}")
            self._failing = True
            self._moments.drop(NO_BOXES)
            return
        if self._failing:
            self._notify_failing("")
            self._failing = False
        put()
        self._moments.leave()

    def _find(self, moment: Moment) -> Callable[[], None]:
        """What is to be done with those who are found.

        Raises:
            Exception: the finder's.
        """
        if self._tracks is None:
            boxes = self._finder(moment.frames, moment.time)
            return lambda: self._put_all(moment, boxes)
        tracks, found = self._tracks, look(self._finder, moment.frames, moment.time)
        return lambda: None if found is None else self._follow(tracks, moment, found)

    def _put_all(self, moment: Moment, boxes: Sequence[Box | None]) -> None:
        pixels = {m: frame.image for m, frame in moment.frames.items()}
        for box in boxes:
            images = crops(pixels, box, self._views)
            if isinstance(images, str):
                self._found.refuse(images)
                continue
            self._put(moment, images, box)

    def _follow(self, tracks: Tracks, moment: Moment, found: Sequence[Detection]) -> None:
        pixels = {m: frame.image for m, frame in moment.frames.items()}
        images = [crops(pixels, each.box, self._views) for each in found]
        frame = frame_size(moment.frames, self._views)
        answers = tracks.see(moment, found, images, frame)
        for detection, cut, answer in zip(found, images, answers, strict=True):
            if isinstance(answer, str) or isinstance(cut, str):
                self._found.refuse(str(answer))
                continue
            self._put(moment, cut, detection.box, answer)

    def _put(
        self,
        moment: Moment,
        images: Mapping[Modality, Pixels],
        box: Box | None,
        wanted: Wanted | None = None,
    ) -> None:
        shown = brought_to_8_bits(images, self._ranges)
        # Once nothing more comes, what is under way is finished rather than pushed out.
        patience = self._drain if self._moments.closed else 0.0
        crop = Crop(moment.time, shown, box, moment.verdicts, wanted, self._head)
        self._found.put(crop, patience)
