"""The finder of a node without a detector: what moves before fixed cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from denet.graph import Modality
from denet.pixels import FULL, Range
from runtime.node.boxes.box import Box
from runtime.node.boxes.chosen import chosen_modalities
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.fusion import fuse
from runtime.node.boxes.homography import Views
from runtime.node.boxes.motion.background import Background
from runtime.node.boxes.motion.regions import region_boxes
from runtime.node.boxes.motion.settings import MotionSettings
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Frame
from runtime.preprocess import to_pillow

KEY = "boxes.motion"

CELLS = 160
"""Cells along the longer side of a frame: what is smaller than a few of them is no person."""

MOST_REGIONS = 64
"""Persons in a frame, the largest: more regions are a scene that flickers."""

LABEL = "person"
"""Of whatever moves: nothing here can tell a person from a dog."""


class MotionFinder:
    """Looks for what moves in the frames of all modalities that are healthy and chosen.

    Args:
        settings: the configuration.
        modalities: that the node has sources of.
        views: how they see the RGB frame; None if all show the same.
        ranges: the values of black and white of 16-bit pixels by modality.

    Raises:
        NodeError: a modality is not there; names the key.
    """

    def __init__(
        self,
        settings: MotionSettings,
        modalities: Sequence[Modality],
        views: Views | None,
        ranges: Mapping[Modality, Range],
    ) -> None:
        self._settings, self._views, self._ranges = settings, views, ranges
        chosen = chosen_modalities(settings.modalities, modalities, KEY)
        self._backgrounds = {m: Background(settings, m in settings.warm) for m in chosen}

    def __call__(self, frames: Mapping[Modality, Frame], time: float) -> Sequence[Box]:
        """See `finder.Finder`.

        Raises:
            NodeError: no frame is of a modality that is searched.
        """
        return [each.box for each in self.look(frames, time)]

    def look(self, frames: Mapping[Modality, Frame], time: float) -> list[Detection]:
        """The same as detections: whatever moves is as sure as all else.

        Raises: as a call.
        """
        seen = {m: frame for m, frame in frames.items() if m in self._backgrounds}
        if not seen:
            names = ", ".join(self._backgrounds)
            raise NodeError(f"{KEY}: searches {names}, and none of them is healthy")
        found = {m: self._find(frame, time) for m, frame in seen.items()}
        fused = fuse(found, self._views, self._settings.fusion)
        return [replace(each, score=1.0) for each in fused]

    def _find(self, frame: Frame, time: float) -> list[Detection]:
        """What moves in a frame, in pixels of it, the largest first."""
        m = frame.modality
        grey = to_pillow(frame.image, self._ranges.get(m, FULL)).convert("L")
        side = max(1, round(max(grey.size) / CELLS))
        cells = np.asarray(grey.reduce(side), np.float32)
        moving = self._backgrounds[m].moving(cells, time)
        boxes = np.minimum(region_boxes(moving) * side, [*grey.size, *grey.size])
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[(sides >= self._settings.smallest).all(axis=1)]
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        largest = np.argsort(-areas, kind="stable")[:MOST_REGIONS]
        whole = grey.size[0] * grey.size[1]
        return [
            Detection(Box(*map(float, boxes[i])), float(areas[i] / whole), LABEL, (m,))
            for i in largest
        ]
