"""What the healthy sensors found, put together: each person once, in pixels of the RGB frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality
from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.homography import Views
from runtime.node.boxes.overlap import overlaps


def fuse(
    found: Mapping[Modality, Sequence[Detection]], views: Views | None, overlap: float
) -> list[Detection]:
    """Detections of several sensors as detections in the RGB frame, the highest score first.

    The detection of the highest score stands, with its box and its score. One of another modality
    that overlaps it is the same person and adds its modality. Of each modality at most one is
    taken for one person: two people whom one sensor tells apart stay two. Scores are not added up:
    those of two sensors are neither calibrated nor independent.

    Args:
        found: by modality, in pixels of its own frame.
        views: how modalities see the RGB frame; None if all show the same.
        overlap: least intersection over union of two boxes of one person.
    """
    everywhere = [placed for m, those in found.items() for placed in _in_reference(those, m, views)]
    fused: list[Detection] = []
    for detection in sorted(everywhere, key=lambda each: -each.score):
        partner = _partner(detection, fused, overlap)
        if partner is None:
            fused.append(detection)
        else:
            known = fused[partner]
            both = known.modalities + detection.modalities
            fused[partner] = replace(known, modalities=both)
    return fused


def _in_reference(
    found: Iterable[Detection], modality: Modality, views: Views | None
) -> Iterable[Detection]:
    view = None if views is None else views.get(modality)
    if view is None:
        yield from found
        return
    for detection in found:
        box = view.locate(detection.box)
        if box is not None:
            yield replace(detection, box=box)


def _partner(detection: Detection, others: Sequence[Detection], overlap: float) -> int | None:
    """Which of the others is the same person: the one that it overlaps most, if one."""
    if not others:
        return None
    shares = overlaps(_array(detection.box), np.array([_array(each.box) for each in others]))
    (modality,) = detection.modalities
    for i, other in enumerate(others):
        if other.label != detection.label or modality in other.modalities:
            shares[i] = -1.0
    best = int(shares.argmax())
    return best if shares[best] >= overlap else None


def _array(box: Box) -> NDArray[np.float64]:
    return np.array([box.left, box.top, box.right, box.bottom])
