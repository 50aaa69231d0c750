"""A detector: persons in one frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality
from denet.pixels import Range
from runtime.node.boxes.box import Box
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.detector.candidates import Candidates, Demand
from runtime.node.boxes.detector.contracts import recognize
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.detector.graph import blank
from runtime.node.boxes.detector.labels import class_names, class_numbers
from runtime.node.boxes.detector.letterbox import Placement, letterbox
from runtime.node.boxes.detector.network import Network
from runtime.node.boxes.detector.settings import NetworkSettings
from runtime.node.boxes.overlap import suppress
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Pixels
from runtime.preprocess import to_pillow

MOST_CANDIDATES = 1000
"""Boxes that suppression takes, those of the highest scores: a noisy model must not stop a node."""


class DetectorModel:
    """Finds the classes that are wanted in single frames.

    Args:
        settings: of the detector.
        threads: CPU threads of the process's pool; None for the cores that may be used.
        key: of its section, for messages.
        home: where its TensorRT engine may be; None where there is no bundle.

    Raises:
        NodeError: there is no such model, it fails on a blank picture, its outputs are not those of
            the contract, or a class is not there; names the section and the file.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        threads: int | None,
        key: str,
        home: EngineHome | None = None,
    ) -> None:
        self._settings = settings
        self._where = f"{key}: {settings.model}"
        try:
            self._network = network = Network(settings, threads, home, self._where)
        except NodeError as error:
            named = str(error).startswith(key)
            raise (error if named else NodeError(f"{key}: {error}")) from None
        task = network.metadata.get("task", "detect")
        if task != "detect":
            raise NodeError(f"{self._where}: was made to {task[:20]}, not to detect")
        outputs = network.run(blank(network.size))
        contract = recognize(outputs, network.size, settings.contract, self._where)
        if contract.name == "rt-detr" and not network.scales_boxes:
            raise NodeError(f"{self._where}: has no input orig_target_sizes: export it with that")
        count = None if contract.classes is None else contract.classes(outputs)
        names = class_names(settings.labels, network.metadata, count, self._where)
        numbers = class_numbers(settings.classes, names, count, self._where)
        self._contract, self._names = contract, names
        self._demand = Demand(numbers, settings.score)

    def describe(self) -> str:
        """For a person: what it was taken for."""
        (width, height), names = self._network.size, self._names
        refused = f" (not {self._network.refused})" if self._network.refused else ""
        wanted = ", ".join(names.get(int(n), f"class {n}") for n in self._demand.classes)
        return (
            f"{self._settings.model} as {self._contract.name}, {width}x{height}, "
            f"on {self._network.backend}{refused}: {wanted}"
        )

    def find(self, image: Pixels, modality: Modality, range16: Range) -> list[Detection]:
        """What is in a frame, in pixels of it, the highest score first.

        Args:
            image: the frame.
            modality: of its sensor.
            range16: the values of black and white of 16-bit pixels.

        Raises:
            NodeError: the model fails.
        """
        picture, placement = letterbox(
            to_pillow(image, range16), self._network.size, self._contract.form
        )
        outputs = self._network.run(picture)
        if not self._contract.fits(outputs, self._network.size):
            raise NodeError(f"{self._where}: its outputs change their shape")
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out below
            raw = self._contract.read(outputs, self._network.size, self._demand)
        found = self._kept(raw, placement)
        return [
            Detection(Box(*map(float, box)), float(score), self._name(int(label)), (modality,))
            for box, score, label in zip(*found, strict=True)
        ]

    def _kept(self, raw: Candidates, placement: Placement) -> Candidates:
        """Those that are boxes, large enough, and no repeats, in pixels of the frame."""
        finite = np.isfinite(raw.boxes).all(axis=1) & np.isfinite(raw.scores)
        found = _taken(raw, np.nonzero(finite)[0])
        found = found._replace(boxes=placement.back(found.boxes))
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        large = (sides > 0).all(axis=1) & (sides >= self._settings.smallest).all(axis=1)
        found = _taken(found, np.nonzero(large)[0])
        best = np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES]
        found = _taken(found, best)
        overlap = self._settings.overlap or self._contract.overlap
        return found if overlap is None else _taken(found, suppress(*found, overlap))

    def _name(self, label: int) -> str:
        return self._names.get(label, str(label))


def _taken(candidates: Candidates, rows: NDArray[np.int64]) -> Candidates:
    boxes, scores, labels = candidates
    return Candidates(boxes[rows], scores[rows], labels[rows])
