"""A detector's ONNX model on ONNX Runtime: a picture in, outputs out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from denet.reading import reading
from runtime.backends.onnxruntime.providers import Provider
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.node.boxes.detector.candidates import Outputs
from runtime.node.boxes.detector.letterbox import Size
from runtime.node.boxes.detector.model_file import ModelFile
from runtime.node.boxes.detector.settings import LARGEST
from runtime.node.errors import NodeError

OPEN_SIZE: Size = (640, 640)
"""Of an input whose size a model leaves open, as most are exported with."""

FRAME_SIZE = "orig_target_sizes"
"""Input (1, 2) of RT-DETR and alike: width and height in whose units boxes come."""

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
"""That a picture may have."""


class DetectorGraph:
    """One picture in, all outputs out.

    Attributes:
        backend: "ort-cpu" or "ort-cuda".
        picture: the name of the input that takes it.
        type: of its pixels.
        size: of its input.
        metadata: texts in the model by their keys.
        scales_boxes: it is told in which units boxes shall come.

    Args:
        file: the ONNX file.
        provider: what runs it.
        size: that its input is to have, where the model leaves that open.
        threads: CPU threads of the process's pool; None for the cores that may be used.
        where: the setting and file, for messages.

    Raises:
        NodeError: it is no such model.
        DenetError: the provider cannot be had, or does not take it.
    """

    def __init__(
        self,
        file: ModelFile,
        provider: Provider,
        size: Size | None,
        threads: int | None,
        where: str,
    ) -> None:
        self._where, self.backend = where, provider.backend
        provider.check()
        Pool.ensure(threads)
        # Detectors hold a few operators, of shapes and of suppression, that no GPU takes.
        self._session = open_session(file.content, provider, "of the detector", whole=False)
        self.metadata: Mapping[str, str] = {}
        with contextlib.suppress(Exception):  # of any kind where these texts are none
            self.metadata = self._session.get_modelmeta().custom_metadata_map
        with reading(file.path, NodeError, "not a detector"):  # names may be no text
            inputs = {v.name: (v.type, v.shape) for v in self._session.get_inputs()}
            self._outputs = [v.name for v in self._session.get_outputs()]
        self.scales_boxes = inputs.pop(FRAME_SIZE, None) is not None
        if len(inputs) != 1:
            raise NodeError(f"{where}: a detector has one picture as input, not {len(inputs)}")
        ((self.picture, (kind, shape)),) = inputs.items()
        if kind not in TYPES or len(shape) != 4:
            raise NodeError(
                f"{where}: its input is {kind} {shape}, not a picture of floats with the axes "
                "batch, channels, height, width"
            )
        self.type = np.dtype(TYPES[kind])
        self.size = self._sized(shape, size)

    def run(self, picture: NDArray[np.float32]) -> Outputs:
        """The outputs by name.

        Args:
            picture: (3, height, width).

        Raises:
            NodeError: the model fails.
        """
        feed: dict[str, NDArray[np.generic]] = {self.picture: picture[None].astype(self.type)}
        if self.scales_boxes:
            feed[FRAME_SIZE] = np.array([self.size], np.int64)
        try:
            values = self._session.run(None, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            text = " ".join(str(error).split())
            raise NodeError(f"{self._where}: the model fails: {text}") from None
        if not all(isinstance(value, np.ndarray) for value in values):
            raise NodeError(f"{self._where}: has an output that is no tensor")
        return dict(zip(self._outputs, values, strict=True))

    def _sized(self, shape: list[int | str | None], wanted: Size | None) -> Size:
        batch, channels, height, width = shape
        if isinstance(batch, int) and batch != 1:
            raise NodeError(f"{self._where}: takes {batch} pictures at once: export it for one")
        if isinstance(channels, int) and channels != 3:
            raise NodeError(f"{self._where}: its input has {channels} channels, not 3")
        if not isinstance(width, int) or not isinstance(height, int):
            return wanted or OPEN_SIZE
        if wanted not in (None, (width, height)):
            raise NodeError(
                f"{self._where}: size: its input is {width}x{height} and cannot be changed: "
                "remove the setting"
            )
        if not (1 <= width <= LARGEST and 1 <= height <= LARGEST):
            raise NodeError(f"{self._where}: an input of {width}x{height} is that of no detector")
        return width, height


def blank(size: Size) -> NDArray[np.float32]:
    """A black picture (3, height, width), whose outputs tell what a detector is."""
    width, height = size
    return np.zeros((3, height, width), np.float32)
