"""A detector's TensorRT engine, which `denet build --detector` puts beside those of a bundle."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import BackendError
from runtime.backends.tensorrt.files import BuiltEngine, find_engine
from runtime.backends.tensorrt.machine import load_tensorrt, this_machine
from runtime.backends.tensorrt.opening import open_gpu
from runtime.backends.tensorrt.single import SingleEngine
from runtime.backends.tensorrt.trust import trusted_by
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import Engine, TensorSpec
from runtime.node.boxes.detector.candidates import Outputs
from runtime.node.boxes.detector.engine_files import FORM, EngineHome, engine_name
from runtime.node.boxes.detector.graph import FRAME_SIZE, DetectorGraph, blank
from runtime.node.boxes.detector.letterbox import Size
from runtime.node.boxes.detector.model_file import ModelFile


def signature_of(graph: DetectorGraph, outputs: Outputs) -> Engine:
    """What the engine of a detector reads and makes.

    Args:
        graph: the detector by ONNX Runtime.
        outputs: that it gives of a picture.

    Raises:
        BackendError: other types than float32, which engines here do not.
    """
    width, height = graph.size
    found = {graph.picture: graph.type, **{name: v.dtype for name, v in outputs.items()}}
    others = [f"{name} of {kind}" for name, kind in found.items() if kind != np.float32]
    if graph.scales_boxes:
        others.append(f"a second input, {FRAME_SIZE}")
    if others:
        raise BackendError(
            f"it has {', '.join(others)}: as TensorRT engine only detectors run whose input and "
            "outputs are float32: export it so, or run it by ONNX Runtime"
        )
    return Engine(
        inputs=(TensorSpec(name=graph.picture, shape=(1, 3, height, width)),),
        outputs=tuple(TensorSpec(name=n, shape=tuple(v.shape)) for n, v in outputs.items()),
        flops=0,
        files={},
    )


class DetectorEngine:
    """A detector as TensorRT engine. Heads that share it wait for one another.

    Args:
        graph: the same by ONNX Runtime.
        file: its ONNX file.
        home: where its engine was built.

    Raises:
        NodeError: it fails on a blank picture.
        EngineFileError: it was not built for this machine, or is not to be trusted.
        DenetError: there is no TensorRT or no GPU here, or the engine is another one.
    """

    backend = "tensorrt"

    def __init__(self, graph: DetectorGraph, file: ModelFile, home: EngineHome) -> None:
        self._picture, self._turn = graph.picture, Lock()
        built = find_built(file, graph.size, home)
        self._engine = SingleEngine(
            built, signature_of(graph, graph.run(blank(graph.size))), open_gpu
        )

    def run(self, picture: NDArray[np.float32]) -> Outputs:
        """As `DetectorGraph.run`. Raises: BackendError: it fails."""
        with self._turn:
            return self._engine.run({self._picture: picture[None]})


def find_built(file: ModelFile, size: Size, home: EngineHome) -> BuiltEngine:
    """The engine of an ONNX file that this machine may load.

    Raises:
        EngineFileError: there is none.
        TensorRTMissingError: there is no TensorRT here.
        BundleError: a signature is not good.
    """
    trusted = trusted_by(Bundle.open(home.bundle), home.key)
    here = this_machine(load_tensorrt())
    command = f"denet build {home.bundle} --detector {file.path}"
    name = engine_name(file, size)
    return find_engine(home.bundle, here, name, FORM, file.digest, trusted, command)
