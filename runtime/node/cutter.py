"""The second stage: persons are found and cut out."""

from __future__ import annotations

from collections.abc import Callable

from runtime.node.backlog import Backlog
from runtime.node.boxes.cropping import crops
from runtime.node.boxes.finder import Finder
from runtime.node.boxes.homography import Views
from runtime.node.notify import Notify
from runtime.node.stage import POLL
from runtime.node.stage_items import Crop, Moment

NO_BOXES = "no boxes"
"""The finder failed on a moment."""


class Cutter:
    """From moments to crops.

    Args:
        moments: what is healthy.
        found: where crops go.
        finder: tells where persons are.
        views: where a place of the RGB frame is in other modalities.
        notify: told of a finder that fails, and of one that works again.
        drain: seconds that it may wait for room in `found` at the end.
    """

    def __init__(
        self,
        moments: Backlog[Moment],
        found: Backlog[Crop],
        finder: Finder,
        views: Views | None,
        notify: Notify,
        drain: float,
    ) -> None:
        self._moments, self._found = moments, found
        self._finder, self._views = finder, views
        self._notify, self._drain = notify, drain
        self._failing = False

    def run(self, beat: Callable[[], None]) -> None:
        """Work until no moment will come any more."""
        while (moments := self._moments.take(1, POLL)) is not None:
            beat()
            for moment in moments:
                self._cut(moment)
        self._found.close()

    def _cut(self, moment: Moment) -> None:
        try:
            boxes = self._finder(moment.frames, moment.time)
        except Exception as error:  # an application's, of any kind
            if not self._failing:
                self._notify(f"no boxes: {type(error).__name__}: {error}")
            self._failing = True
            self._moments.drop(NO_BOXES)
            return
        if self._failing:
            self._notify("boxes are found again")
            self._failing = False
        pixels = {m: frame.image for m, frame in moment.frames.items()}
        for box in boxes:
            images = crops(pixels, box, self._views)
            if isinstance(images, str):
                self._found.refuse(images)
                continue
            self._found.put(Crop(moment.time, images, box, moment.verdicts), self._patience)
        self._moments.leave()

    @property
    def _patience(self) -> float:
        """Once nothing more comes, what is under way is finished rather than pushed out."""
        return self._drain if self._moments.closed else 0.0
