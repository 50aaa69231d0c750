"""The outputs of detection transformers: a few hundred boxes, of which none repeats another."""

from __future__ import annotations

import numpy as np

from runtime.node.boxes.detector.candidates import (
    Candidates,
    Demand,
    Outputs,
    around_centres,
    of_each_class,
    of_one_class,
    sigmoid,
)
from runtime.node.boxes.detector.letterbox import Size


def read_decoded(outputs: Outputs, size: Size, demand: Demand) -> Candidates:  # noqa: ARG001
    """`labels` (1, Q), `boxes` (1, Q, 4) as left, top, right and bottom in units of the input
    `orig_target_sizes`, which is the size of the network's input here, and `scores` (1, Q)."""
    return of_one_class(outputs["boxes"][0], outputs["scores"][0], outputs["labels"][0], demand)


def read_rf_detr(outputs: Outputs, size: Size, demand: Demand) -> Candidates:
    """`dets` (1, Q, 4): centre x, y, width and height in shares of the picture; `labels` (1, Q, C):
    logits of classes."""
    return _read_logits(outputs, "dets", "labels", size, demand)


def read_transformers(outputs: Outputs, size: Size, demand: Demand) -> Candidates:
    """`pred_boxes` (1, Q, 4) and `logits` (1, Q, C), as of RF-DETR."""
    return _read_logits(outputs, "pred_boxes", "logits", size, demand)


def _read_logits(
    outputs: Outputs, boxes: str, logits: str, size: Size, demand: Demand
) -> Candidates:
    placed = around_centres(outputs[boxes][0]) * np.array([*size, *size])
    return of_each_class(placed, sigmoid(outputs[logits][0]), demand)
