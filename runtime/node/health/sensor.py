"""One sensor: what each of its frames shows, and how long it is mistrusted afterwards."""

from __future__ import annotations

from typing import Any, Union

import numpy as np

from denet.graph import Modality
from runtime.node.health.content import Content
from runtime.node.health.limits import Limits
from runtime.node.health.probation import Probation
from runtime.node.health.range_use import RangeUse
from runtime.node.health.verdict import Finding, Verdict
from runtime.node.sources.frame import Frame, Item, Pixels, Undecodable
from runtime.node.sources.triplet import Absence

LEAST = 8
"""Height and width in pixels under which a picture cannot be judged."""


class Sensor:
    """The health of one modality."""

    def __init__(self, modality: Modality, limits: Limits) -> None:
        self._limits = limits
        self._probation = Probation(modality, limits.recovery_frames)
        self._judged: tuple[Item, Verdict] | None = None
        self._size = limits.size
        self._use = RangeUse(limits)
        self._form: tuple[tuple[int, ...], np.dtype[Any]] | None = None  # of the usual frames
        self._contents: tuple[tuple[int, ...], Content] | None = None

    def judge(self, item: Union[Item, Absence], now: float) -> Verdict:
        """The verdict on a frame, or on there being none.

        Args:
            item: the frame, which may be one that was judged before.
            now: seconds of the monotonic clock.
        """
        if isinstance(item, Absence):
            return self._probation.bad(Finding(item.kind, item.reason))
        if self._judged is not None and self._judged[0] is item:
            return self._judged[1]
        verdict = self._verdict(item, now)
        self._judged = item, verdict
        return verdict

    def _verdict(self, item: Item, now: float) -> Verdict:
        if isinstance(item, Undecodable):
            return self._probation.bad(Finding("undecodable", item.reason))
        age = now - item.time
        if age > self._limits.stale_after:
            return self._probation.bad(Finding("stale", f"it was captured {age:.2f} s ago"))
        found = self._form_fault(item.image)
        if found is not None:
            return self._probation.bad(found)
        content = self._content(item)
        found = content.judge(item)
        if found is not None:
            return self._probation.bad(found)
        return self._probation.unsure() if content.unsure else self._probation.good()

    def _form_fault(self, image: Pixels) -> Finding | None:
        """Another size than usual, or other pixels. The first frame says what is usual."""
        height, width = image.shape[:2]
        if min(height, width) < LEAST:
            return Finding("size", f"{width}x{height} pixels are too few to be judged")
        size = (width, height)
        if self._size is None:
            self._size = size
        if size != self._size and not self._limits.any_size:
            return Finding(
                "size", f"{width}x{height} pixels instead of {self._size[0]}x{self._size[1]}"
            )
        form = image.shape[2:], image.dtype
        if self._form is None:
            self._form = form
        if form != self._form:
            return Finding("channels", f"{_named(form)} instead of {_named(self._form)}")
        return None

    def _content(self, frame: Frame) -> Content:
        """What judges frames of this size; a new one where crops differ in size."""
        shape = frame.image.shape
        if self._contents is None or self._contents[0] != shape:
            self._contents = shape, Content(shape, frame.image.dtype, self._limits, self._use)
        return self._contents[1]


def _named(form: tuple[tuple[int, ...], np.dtype[Any]]) -> str:
    channels, dtype = form
    return f"{'colour' if channels else 'grey'} of {8 * dtype.itemsize} bits"
