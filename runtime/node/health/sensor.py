"""One sensor: what each of its frames shows, and how long it is mistrusted afterwards."""

from __future__ import annotations

from typing import Any, Union

import numpy as np

from denet.graph import Modality
from runtime.node.health.colour import Colour
from runtime.node.health.content import Content
from runtime.node.health.limits import Limits
from runtime.node.health.probation import Probation
from runtime.node.health.range_use import RangeUse
from runtime.node.health.usual import Usual
from runtime.node.health.verdict import Finding, Verdict
from runtime.node.sources.frame import Frame, Item, Pixels, Undecodable
from runtime.node.sources.triplet import Absence

Form = tuple[tuple[int, ...], np.dtype[Any]]
"""A shape, or the part of one behind height and width, and the type of the numbers."""

LEAST = 8
"""Height and width in pixels under which a picture cannot be judged."""


class Sensor:
    """The health of one modality."""

    def __init__(self, modality: Modality, limits: Limits) -> None:
        self._limits = limits
        self._probation = Probation(modality, limits.recovery_frames)
        self._judged: tuple[Item, Verdict] | None = None
        fixed = limits.usual_seconds if limits.size is None else 0.0
        self._size = Usual(limits.usual_seconds, limits.size, fixed_after=fixed)
        self._form = Usual[Form](limits.usual_seconds)
        self._colour = Colour(limits)
        self._use = RangeUse(limits)
        self._contents: tuple[Form, Content] | None = None

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
        found = self._form_fault(item.image, item.time)
        if found is not None:
            return self._probation.bad(found)
        content = self._content(item)
        found = content.judge(item)
        if found is not None:
            return self._probation.bad(found)
        return self._probation.unsure() if content.unsure else self._probation.good()

    def _form_fault(self, image: Pixels, time: float) -> Finding | None:
        """Another size than usual, or other pixels."""
        height, width = image.shape[:2]
        if min(height, width) < LEAST:
            return Finding("size", f"{width}x{height} pixels are too few to be judged")
        if not self._limits.any_size and not self._size.sees((width, height), time):
            return Finding("size", f"{width}x{height} pixels instead of {_by(self._size.value)}")
        form = image.shape[2:], image.dtype
        if self._limits.colour == "always" and not form[0]:
            return Finding("channels", f"{_named(form)}: it has lost its colour")
        if self._limits.colour == "any":
            form = (), image.dtype
        if not self._form.sees(form, time):
            return Finding("channels", f"{_named(form)} instead of {_named(self._form.value)}")
        return None

    def _content(self, frame: Frame) -> Content:
        """What judges frames of this form; a new one where crops differ in size."""
        shape, dtype = frame.image.shape, frame.image.dtype
        if self._contents is None or self._contents[0] != (shape, dtype):
            content = Content(shape, dtype, self._limits, self._colour, self._use)
            self._contents = (shape, dtype), content
        return self._contents[1]


def _by(size: tuple[int, int] | None) -> str:
    return "none" if size is None else f"{size[0]}x{size[1]}"


def _named(form: Form | None) -> str:
    channels, dtype = form or ((), np.dtype(np.uint8))
    return f"{'colour' if channels else 'grey'} of {8 * dtype.itemsize} bits"
