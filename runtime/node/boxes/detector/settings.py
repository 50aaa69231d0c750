"""What `[boxes.detector]` of a node's configuration says."""

from __future__ import annotations

from typing import Annotated, Literal, Union

import msgspec

from denet.graph import Modality

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
SMALLEST, LARGEST = 32, 4096
"""Pixels of a side of an input that is set: what takes more memory than a node has is none."""

Side = Annotated[int, msgspec.Meta(ge=SMALLEST, le=LARGEST)]
Pixels = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
ClassNumber = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]

ContractName = Literal[
    "auto",
    "yolox",
    "yolox-decoded",
    "yolov5",
    "yolov8",
    "yolo-nms",
    "rt-detr",
    "rf-detr",
    "transformers",
]


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A detector, and what of its findings counts.

    Attributes:
        model: ONNX file.
        contract: what its outputs mean; "auto" is recognized from them.
        size: (width, height) of its input in pixels, where the model leaves that open.
        backend: "tensorrt" for its engine beside those of the node's bundle, "ort-cuda",
            "ort-cpu", or "auto" for the first of them that can be had.
        labels: names of its classes in their order, where the model has none in it and they are
            not COCO's.
        classes: that are looked for, by name or number.
        score: that a detection must have at least.
        overlap: intersection over union above which the weaker of two boxes of one class is
            suppressed; None for what is usual of the contract.
        smallest: (width, height) that a box must have at least, in pixels of the frame in which
            it is found.
    """

    model: str
    contract: ContractName = "auto"
    size: tuple[Side, Side] | None = None
    backend: Literal["auto", "tensorrt", "ort-cuda", "ort-cpu"] = "auto"
    labels: tuple[Name, ...] | None = None
    classes: Annotated[tuple[Union[ClassNumber, Name], ...], msgspec.Meta(min_length=1)] = (
        "person",
    )
    score: Share = 0.3
    overlap: Share | None = None
    smallest: tuple[Pixels, Pixels] = (8.0, 16.0)


class DetectorSettings(NetworkSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The detectors of a node: one for all modalities, or some with their own.

    Attributes:
        modalities: in whose frames persons are looked for; None for all that the node has.
        own: other detectors of single modalities.
        interval: each how-manieth moment is searched; the others have no boxes.
        fusion: least intersection over union, in the RGB frame, of the boxes that two sensors give
            of one person.
    """

    modalities: tuple[Modality, ...] | None = None
    own: dict[Modality, NetworkSettings] = {}
    interval: Count = 1
    fusion: Share = 0.5
