"""A detector's network on the best that this machine has: its TensorRT engine, or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from runtime.backends.base import BackendError
from runtime.backends.choose import nvidia_gpu_present
from runtime.backends.onnxruntime.providers import CPU, CUDA, Provider
from runtime.node.boxes.detector.candidates import Outputs
from runtime.node.boxes.detector.engine import DetectorEngine
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.detector.graph import DetectorGraph
from runtime.node.boxes.detector.model_file import ModelFile, read_model
from runtime.node.boxes.detector.settings import NetworkSettings
from runtime.node.errors import NodeError

Runnable = DetectorGraph | DetectorEngine


class Network:
    """One picture in, all outputs out.

    Attributes:
        backend: "tensorrt", "ort-cuda" or "ort-cpu".
        refused: why it is not the better one that "auto" tried; "" where it is.
        size: of its input.
        metadata: texts in the model by their keys.
        scales_boxes: it is told in which units boxes shall come.

    Args:
        settings: of the detector.
        threads: CPU threads of the process's pool; None for the cores that may be used.
        home: where its TensorRT engine may be; None where there is no bundle.
        where: the setting and file, for messages.

    Raises:
        NodeError: the file cannot be read or is no such model, or the backend cannot be had.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        threads: int | None,
        home: EngineHome | None,
        where: str,
    ) -> None:
        self._where, self._settings, self._threads = where, settings, threads
        reasons: list[str] = []
        self._runs, graph = self._best(read_model(Path(settings.model)), home, reasons)
        self.backend, self.refused = self._runs.backend, "; ".join(reasons)
        self.size, self.metadata = graph.size, graph.metadata
        self.scales_boxes = graph.scales_boxes

    def run(self, picture: NDArray[np.float32]) -> Outputs:
        """The outputs by name.

        Args:
            picture: (3, height, width).

        Raises:
            NodeError: the model fails.
        """
        try:
            return self._runs.run(picture)
        except BackendError as error:
            raise NodeError(f"{self._where}: the model fails: {_line(error)}") from None

    def _best(
        self, file: ModelFile, home: EngineHome | None, reasons: list[str]
    ) -> tuple[Runnable, DetectorGraph]:
        """What runs it, and the same by ONNX Runtime."""
        for attempt in self._attempts(file, home):
            try:
                return attempt()
            except NodeError:  # of the file, which no backend takes
                raise
            except DenetError as error:
                reasons.append(_line(error))
        raise NodeError(f"{self._where}: {'; '.join(reasons)}")

    def _attempts(
        self, file: ModelFile, home: EngineHome | None
    ) -> Iterator[Callable[[], tuple[Runnable, DetectorGraph]]]:
        """The backends that are wanted, the best first."""
        wanted = self._settings.backend
        if wanted == "tensorrt" and home is None:
            raise NodeError(
                f"{self._where}: backend: a TensorRT engine lies beside a bundle: give "
                "model.bundle, or another backend"
            )
        gpu = wanted == "auto" and nvidia_gpu_present()
        if home is not None and (wanted == "tensorrt" or (gpu and home.has(file))):
            yield partial(self._on_tensorrt, file, home)
        if wanted == "ort-cuda" or gpu:
            yield partial(self._on_onnx_runtime, file, CUDA)
        if wanted in ("auto", "ort-cpu"):
            yield partial(self._on_onnx_runtime, file, CPU)

    def _on_tensorrt(self, file: ModelFile, home: EngineHome) -> tuple[Runnable, DetectorGraph]:
        graph = self._graph(file, CPU)  # which says what the engine reads and makes
        return DetectorEngine(graph, file, home), graph

    def _on_onnx_runtime(
        self, file: ModelFile, provider: Provider
    ) -> tuple[Runnable, DetectorGraph]:
        graph = self._graph(file, provider)
        return graph, graph

    def _graph(self, file: ModelFile, provider: Provider) -> DetectorGraph:
        return DetectorGraph(file, provider, self._settings.size, self._threads, self._where)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
