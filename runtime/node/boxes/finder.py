"""What finds persons in a frame: nothing, a file beside the recording, an application, a detector,
or motion."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from denet.graph import Modality
from denet.pixels import Range
from runtime.node.boxes.box import Box
from runtime.node.boxes.box_file import checked_box, read_boxes
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.detector.finder import DetectorFinder
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.homography import Views
from runtime.node.boxes.motion.finder import MotionFinder
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


@dataclass(frozen=True)
class Surroundings:
    """What a finder has to know of its node.

    Attributes:
        modalities: that the node has sources of.
        views: how they see the RGB frame; None if all show the same.
        ranges: the values of black and white of 16-bit pixels, by modality.
        threads: CPU threads of the process's pool; None for the cores that may be used.
        models: detectors that are open already, by what is set of them, for heads to share.
        home: where their TensorRT engines may be; None where there is no bundle.
    """

    modalities: Sequence[Modality] = ()
    views: Views | None = None
    ranges: Mapping[Modality, Range] = field(default_factory=dict)
    threads: int | None = None
    models: dict[bytes, DetectorModel] = field(default_factory=dict)
    home: EngineHome | None = None


def open_finder(
    settings: BoxSettings,
    tolerance: float,
    persons: Persons | None = None,
    around: Surroundings | None = None,
) -> Finder:
    """What the configuration, or an application, says.

    Args:
        settings: the configuration.
        tolerance: seconds that a frame may lie off its line in a file.
        persons: what an application registers; goes before the configuration.
        around: what a detector and motion need.

    Raises:
        NodeError: a file, function or model is not there, or not as it should be.
    """
    around = around or Surroundings()
    if persons is not None:
        return PersonFunction(persons)
    if settings.call is not None:
        return PersonFunction(_imported(settings.call))
    if settings.file is not None:
        return read_boxes(Path(settings.file), tolerance)
    if settings.detector is not None:
        return DetectorFinder(
            settings.detector,
            around.modalities,
            around.views,
            around.ranges,
            around.threads,
            around.models,
            around.home,
        )
    if settings.motion is not None:
        return MotionFinder(settings.motion, around.modalities, around.views, around.ranges)
    return whole_frames


def look(
    finder: Finder, frames: Mapping[Modality, Frame], time: float
) -> Sequence[Detection] | None:
    """Who is in the frames, with what a tracker wants to know of each; None where nobody looked.

    A finder that gives boxes alone is sure of them.

    Raises:
        Exception: whatever the finder raises.
    """
    if isinstance(finder, DetectorFinder):
        return finder.look(frames)
    if isinstance(finder, MotionFinder):
        return finder.look(frames, time)
    boxes = finder(frames, time)
    return [Detection(box, 1.0, "", ()) for box in boxes if box is not None]


def describe(finder: Finder) -> list[str]:
    """For a person: which detectors it runs, and what they were taken for."""
    lines = finder.describe() if isinstance(finder, DetectorFinder) else []
    return [f"boxes.detector: {line}" for line in lines]


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
