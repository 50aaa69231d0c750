"""A file of boxes beside a recording: where persons are in each of its frames."""

from __future__ import annotations

import bisect
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

import msgspec

from denet.graph import Modality
from denet.reading import read_file, reading
from runtime.node.boxes.box import Box
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Frame

MOST_BYTES = 1 << 30
"""Of a file: days of a recording."""

BoxLike = Union[Box, Sequence[float]]


class BoxLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The boxes of one moment of a recording.

    Attributes:
        name: of the frame's file, without the extension;
        time: or its seconds from the beginning of the recording.
        boxes: left, top, right and bottom of each person, in pixels of the RGB frame.
    """

    boxes: list[tuple[float, float, float, float]]
    name: str | None = None
    time: float | None = None


class BoxFile:
    """The finder that looks boxes up.

    Args:
        names: boxes by the name of a frame.
        times: seconds from the beginning of the recording, rising, each with its boxes.
        tolerance: seconds that a frame may lie off its line.
    """

    def __init__(
        self,
        names: Mapping[str, Sequence[Box]],
        times: Sequence[tuple[float, Sequence[Box]]],
        tolerance: float,
    ) -> None:
        self._names, self._times, self._tolerance = names, times, tolerance
        self._moments = [time for time, _ in times]

    def __call__(self, frames: Mapping[Modality, Frame], _time: float) -> Sequence[Box | None]:
        """See `finder.Finder`. A frame without a line shows nobody."""
        frame = next(iter(frames.values()))
        if frame.name is not None and frame.name in self._names:
            return self._names[frame.name]
        return [] if frame.position is None else self._near(frame.position)

    def _near(self, position: float) -> Sequence[Box]:
        after = bisect.bisect_left(self._moments, position)
        near = [i for i in (after - 1, after) if 0 <= i < len(self._moments)]
        best = min(near, key=lambda i: abs(self._moments[i] - position), default=None)
        if best is None or abs(self._moments[best] - position) > self._tolerance:
            return []
        return self._times[best][1]


def read_boxes(path: Path, tolerance: float) -> BoxFile:
    """The finder of a file of JSON lines.

    Raises:
        NodeError: it cannot be read, or a line is wrong; names the line.
    """
    names: dict[str, Sequence[Box]] = {}
    times: dict[float, Sequence[Box]] = {}
    for number, text in enumerate(read_file(path, NodeError, MOST_BYTES).split(b"\n"), 1):
        if text.strip():
            try:
                with reading(path, NodeError):
                    found = msgspec.json.decode(text, type=BoxLine)
                _take_in(found, names, times)
            except NodeError as error:
                reason = str(error).removeprefix(f"{path}: ")
                raise NodeError(f"{path}, line {number}: {reason}") from None
    if not names and not times:
        raise NodeError(f"{path}: has no line of boxes")
    return BoxFile(names, sorted(times.items()), tolerance)


def _take_in(
    line: BoxLine, names: dict[str, Sequence[Box]], times: dict[float, Sequence[Box]]
) -> None:
    boxes = [checked_box(box) for box in line.boxes]
    if (line.name is None) == (line.time is None):
        raise NodeError("give either a name or a time")
    # As the names of frames are.
    name = None if line.name is None else unicodedata.normalize("NFC", line.name)
    if name in names or line.time in times:
        raise NodeError(f"{line.name or line.time!r} has a line already")
    if name is not None:
        names[name] = boxes
    elif line.time is not None:
        times[line.time] = boxes


def checked_box(box: BoxLike) -> Box:
    """A box that is one.

    Raises:
        NodeError: it is not four finite numbers, or empty.
    """
    numbers = (box.left, box.top, box.right, box.bottom) if isinstance(box, Box) else tuple(box)
    if len(numbers) != 4 or not all(math.isfinite(x) for x in numbers):
        raise NodeError(f"a box is left, top, right and bottom, not {numbers}")
    left, top, right, bottom = (float(x) for x in numbers)
    if left >= right or top >= bottom:
        raise NodeError(f"a box is left, top, right and bottom: {numbers} is empty")
    return Box(left, top, right, bottom)
