"""A detector's ONNX model on ONNX Runtime: a picture in, outputs out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.reading import read_file, reading
from runtime.backends.choose import nvidia_gpu_present
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.providers import CPU, CUDA, Provider
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.bundle.self_contained import check_self_contained
from runtime.node.boxes.detector.candidates import Outputs
from runtime.node.boxes.detector.letterbox import Size
from runtime.node.boxes.detector.settings import NetworkSettings
from runtime.node.errors import NodeError

MOST_BYTES = 1 << 30
"""Of a model file: ten times the largest detectors that a node would run."""

OPEN_SIZE: Size = (640, 640)
"""Of an input whose size a model leaves open, as most are exported with."""

LARGEST = 4096
"""Side of an input in pixels: what takes more memory than a node has is no detector."""

FRAME_SIZE = "orig_target_sizes"
"""Input (1, 2) of RT-DETR and alike: width and height in whose units boxes come."""

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
"""That a picture may have."""


class Network:
    """One picture in, all outputs out.

    Attributes:
        backend: "ort-cpu" or "ort-cuda".
        refused: why it is not the better one that "auto" tried; "" where it is.
        size: of its input.
        metadata: texts in the model by their keys.
        scales_boxes: it is told in which units boxes shall come.

    Args:
        settings: of the detector.
        threads: CPU threads of the process's pool; None for the cores that may be used.
        where: the setting and file, for messages.

    Raises:
        NodeError: the file cannot be read or is no such model, or the backend cannot be had.
    """

    def __init__(self, settings: NetworkSettings, threads: int | None, where: str) -> None:
        path = Path(settings.model)
        content = read_file(path, NodeError, MOST_BYTES)
        check_self_contained(content, path, NodeError)
        self._where = where
        self.backend, self.refused, self._session = _open(content, settings.backend, threads, where)
        self.metadata: Mapping[str, str] = {}
        with contextlib.suppress(Exception):  # of any kind where these texts are none
            self.metadata = self._session.get_modelmeta().custom_metadata_map
        with reading(path, NodeError, "not a detector"):  # names may be no text
            inputs = {v.name: (v.type, v.shape) for v in self._session.get_inputs()}
            self._outputs = [v.name for v in self._session.get_outputs()]
        self.scales_boxes = inputs.pop(FRAME_SIZE, None) is not None
        if len(inputs) != 1:
            raise NodeError(f"{where}: a detector has one picture as input, not {len(inputs)}")
        ((self._input, (kind, shape)),) = inputs.items()
        self._type = TYPES.get(kind)
        if self._type is None or len(shape) != 4:
            raise NodeError(
                f"{where}: its input is {kind} {shape}, not a picture of floats with the axes "
                "batch, channels, height, width"
            )
        self.size = self._sized(shape, settings.size)

    def run(self, picture: NDArray[np.float32]) -> Outputs:
        """The outputs by name.

        Args:
            picture: (3, height, width).

        Raises:
            NodeError: the model fails.
        """
        feed: dict[str, NDArray[np.generic]] = {self._input: picture[None].astype(self._type)}
        if self.scales_boxes:
            feed[FRAME_SIZE] = np.array([self.size], np.int64)
        try:
            values = self._session.run(None, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise NodeError(f"{self._where}: the model fails: {_line(error)}") from None
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


def _open(
    content: bytes, backend: str, threads: int | None, where: str
) -> tuple[str, str, ort.InferenceSession]:
    tried = {"ort-cpu": (CPU,), "ort-cuda": (CUDA,)}.get(backend) or (
        (CUDA, CPU) if nvidia_gpu_present() else (CPU,)
    )
    reasons: list[str] = []
    for provider in tried:
        try:
            session = _session(content, provider, threads)
            return provider.backend, "; ".join(reasons), session
        except DenetError as error:
            reasons.append(_line(error))
    raise NodeError(f"{where}: {'; '.join(reasons)}")


def _session(content: bytes, provider: Provider, threads: int | None) -> ort.InferenceSession:
    provider.check()
    Pool.ensure(threads)
    # Detectors hold a few operators, of shapes and of suppression, that no GPU takes.
    return open_session(content, provider, "of the detector", whole=False)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
