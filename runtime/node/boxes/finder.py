"""What finds persons in a frame: nothing, a file beside the recording, or an application."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from denet.graph import Modality
from runtime.node.boxes.box import Box
from runtime.node.boxes.box_file import checked_box, read_boxes
from runtime.node.boxes.settings import BoxSettings
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Frame, Pixels

Persons = Callable[[Mapping[Modality, Pixels], float], Iterable[Sequence[float]]]
"""Of an application: the healthy frames of a moment, by modality, and the time of their capture
(seconds of `time.monotonic()`) -> left, top, right and bottom of each person, in pixels of the RGB
frame. Called in one thread; nobody may write to the frames."""

Finder = Callable[[Mapping[Modality, Frame], float], Sequence[Union[Box, None]]]
"""The healthy frames of a moment and its time -> the boxes of persons; None is a frame that is a
crop itself. It may raise anything where it cannot tell."""


def whole_frames(_frames: Mapping[Modality, Frame], _time: float) -> Sequence[Box | None]:
    """The finder of a node whose frames are crops."""
    return (None,)


class PersonFunction:
    """The finder that asks an application."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def __call__(self, frames: Mapping[Modality, Frame], time: float) -> Sequence[Box | None]:
        """See `Finder`."""
        pixels = {m: frame.image for m, frame in frames.items()}
        return [checked_box(box) for box in self._persons(pixels, time)]


def open_finder(settings: BoxSettings, tolerance: float, persons: Persons | None = None) -> Finder:
    """What the configuration, or an application, says.

    Args:
        settings: the configuration.
        tolerance: seconds that a frame may lie off its line in a file.
        persons: what an application registers; goes before the configuration.

    Raises:
        NodeError: a file or function is not there, or not as it should be.
    """
    if persons is not None:
        return PersonFunction(persons)
    if settings.call is not None:
        return PersonFunction(_imported(settings.call))
    if settings.file is not None:
        return read_boxes(Path(settings.file), tolerance)
    return whole_frames


def _imported(setting: str) -> Persons:
    """The function "module:function"; modules beside the configuration's folder are found, too."""
    module, colon, name = setting.partition(":")
    if not (colon and module and name):
        raise NodeError(f"boxes.call: {setting!r}: write module:function")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does; the installed command does not
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise NodeError(f"boxes.call: {setting}: {type(error).__name__}: {error}") from None
    if not callable(function):
        raise NodeError(f"boxes.call: {setting}: is no function")
    found: Persons = function
    return found
