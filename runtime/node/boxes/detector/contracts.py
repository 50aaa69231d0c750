"""Families of detectors: what picture each wants, how its outputs are known, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.node.boxes.detector import detr, yolo
from runtime.node.boxes.detector.candidates import Candidates, Demand, Outputs
from runtime.node.boxes.detector.letterbox import PictureForm, Size
from runtime.node.boxes.detector.settings import ContractName
from runtime.node.errors import NodeError

YOLOX = PictureForm("corner", blue_first=True, scale=1.0)
ULTRALYTICS = PictureForm("centre")
STRETCHED = PictureForm("stretch")
IMAGENET = PictureForm("stretch", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

USUAL_OVERLAP = 0.6
"""Of suppression. YOLOX evaluates with 0.65, Ultralytics predicts with 0.7 or 0.45."""

Read = Callable[[Outputs, Size, Demand], Candidates]
Classes = Callable[[Outputs], int]


@dataclass(frozen=True)
class Contract:
    """A family of detectors.

    Attributes:
        name: in settings.
        form: of the picture.
        fits: whether outputs for an input of a size have the right names and shapes.
        classes: how many there are, told by the outputs; None where these do not tell.
        read: outputs, size of the input and what is looked for -> candidates.
        overlap: of the usual suppression; None where the network has left out repeats itself.
    """

    name: ContractName
    form: PictureForm
    fits: Callable[[Outputs, Size], bool]
    classes: Classes | None
    read: Read
    overlap: float | None = USUAL_OVERLAP


def _single(outputs: Outputs) -> tuple[int, int] | None:
    """The shape of the one output, without the batch; None if it is not such an output."""
    shapes = [value.shape for value in outputs.values()]
    return shapes[0][1:] if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1 else None


def _is_grid(outputs: Outputs, size: Size) -> bool:
    shape = _single(outputs)
    return shape is not None and shape[0] in yolo.cells(size) and shape[1] > 5


def _is_yolov5(outputs: Outputs, size: Size) -> bool:
    shape = _single(outputs)
    counts = {yolo.ANCHORS * count for count in yolo.cells(size)}
    return shape is not None and shape[0] in counts and shape[1] > 5


def _is_yolov8(outputs: Outputs, size: Size) -> bool:
    shape = _single(outputs)
    return shape is not None and shape[1] in yolo.cells(size) and shape[0] > 4


def _is_suppressed(outputs: Outputs, size: Size) -> bool:  # noqa: ARG001
    shape = _single(outputs)
    return shape is not None and shape[1] == 6 and shape[0] <= yolo.MOST_FOUND


def _is_decoded(outputs: Outputs, size: Size) -> bool:  # noqa: ARG001
    shapes = {name: value.shape for name, value in outputs.items()}
    count = shapes.get("scores", (0, 0))[-1]
    return shapes == {"labels": (1, count), "boxes": (1, count, 4), "scores": (1, count)}


def _has_logits(boxes: str, logits: str) -> Callable[[Outputs, Size], bool]:
    def fits(outputs: Outputs, _size: Size) -> bool:
        if not {boxes, logits} <= outputs.keys() or outputs[logits].ndim != 3:
            return False
        count = outputs[logits].shape[1]
        return outputs[logits].shape[0] == 1 and outputs[boxes].shape == (1, count, 4)

    return fits


def _columns(before: int) -> Classes:
    return lambda outputs: yolo.only(outputs).shape[1] - before


CONTRACTS = {
    contract.name: contract
    for contract in (
        Contract("yolox", YOLOX, _is_grid, _columns(5), yolo.read_yolox),
        Contract("yolox-decoded", YOLOX, _is_grid, _columns(5), yolo.read_yolov5),
        Contract("yolov5", ULTRALYTICS, _is_yolov5, _columns(5), yolo.read_yolov5),
        Contract(
            "yolov8",
            ULTRALYTICS,
            _is_yolov8,
            lambda outputs: yolo.only(outputs).shape[0] - 4,
            yolo.read_yolov8,
        ),
        Contract("yolo-nms", ULTRALYTICS, _is_suppressed, None, yolo.read_suppressed, None),
        Contract("rt-detr", STRETCHED, _is_decoded, None, detr.read_decoded, None),
        Contract(
            "rf-detr",
            IMAGENET,
            _has_logits("dets", "labels"),
            lambda outputs: outputs["labels"].shape[2],
            detr.read_rf_detr,
            None,
        ),
        Contract(
            "transformers",
            STRETCHED,
            _has_logits("pred_boxes", "logits"),
            lambda outputs: outputs["logits"].shape[2],
            detr.read_transformers,
            None,
        ),
    )
}
"""By name, in the order in which they are tried."""


def recognize(outputs: Outputs, size: Size, wanted: ContractName, where: str) -> Contract:
    """The contract of a network.

    Args:
        outputs: for a blank picture.
        size: of its input.
        wanted: what the configuration says.
        where: the model, for messages.

    Raises:
        NodeError: the outputs are not those of the contract that is wanted, or of none.
    """
    shown = ", ".join(f"{name[:40]} {list(value.shape)}" for name, value in outputs.items())
    if wanted != "auto":
        if CONTRACTS[wanted].fits(outputs, size):
            return CONTRACTS[wanted]
        raise NodeError(f"{where}: its outputs are not those of {wanted}, but {shown}")
    fitting = [contract for contract in CONTRACTS.values() if contract.fits(outputs, size)]
    if not fitting:
        raise NodeError(
            f"{where}: its outputs are those of no known detector: {shown} for an input of "
            f"{size[0]}x{size[1]}: known are {', '.join(CONTRACTS)}"
        )
    if fitting[0].name == "yolox" and _reaches_across(outputs, size):
        return CONTRACTS["yolox-decoded"]
    return fitting[0]


def _reaches_across(outputs: Outputs, size: Size) -> bool:
    """Whether centres of boxes are spread over the picture, as only decoded ones are: others are in
    cells, from the corner of their own one."""
    return bool(yolo.only(outputs)[:, 0].max() > size[0] / 2)
