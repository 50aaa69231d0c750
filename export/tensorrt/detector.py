"""The TensorRT engine of a node's detector, beside those of the bundle that the node runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.outputs import SIZE, check_place
from export.tensorrt.build import check_machine
from export.tensorrt.check import LEAST
from export.tensorrt.keeping import (
    Checked,
    Notify,
    Result,
    alone,
    build_in_place,
    judged,
    up_to_date,
    within,
)
from export.tensorrt.request import BuildError, GraphSource
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.tensorrt.device import Device
from runtime.backends.tensorrt.files import BuildSpec, engine_path, profile_of
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.backends.tensorrt.opening import open_gpu
from runtime.backends.tensorrt.single import SingleEngine
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import Engine
from runtime.cosine import row_cosines
from runtime.node.boxes.detector.contracts import recognize
from runtime.node.boxes.detector.engine import signature_of
from runtime.node.boxes.detector.engine_files import FORM, engine_name
from runtime.node.boxes.detector.graph import DetectorGraph, blank
from runtime.node.boxes.detector.letterbox import Size
from runtime.node.boxes.detector.model_file import read_model

ONE = (1, 1, 1)
"""A detector takes one picture at a time."""


def build_detector(
    bundle: Bundle,
    model: Path,
    size: Size | None,
    options: BuildOptions,
    *,
    rebuild: bool = True,
    notify: Notify = lambda *_: None,
    open_device: Callable[[], Device] = open_gpu,
) -> Result:
    """Build the engine of a detector for this machine if it is not up to date; and where there is
    a GPU that can run it, compare it with its ONNX file.

    Args:
        bundle: beside whose engines it is to lie.
        model: its ONNX file.
        size: (width, height) of its input in pixels, where the model leaves that open.
        options: of TensorRT's builder; the batch is always 1.
        rebuild: build it again where it is there but stale; else that is an error.
        notify: told how far it is.
        open_device: makes the device to run it on.

    Raises:
        TensorRTMissingError: there is no TensorRT here.
        NodeError: the file is no detector.
        BuildError: it has inputs or outputs that no engine here has, cannot be built, is stale and
            not to be rebuilt, or computes something else than its ONNX file.
    """
    machine, file = check_machine(options), read_model(model)
    graph = DetectorGraph(file, CPU, size, None, str(model))
    outputs = graph.run(blank(graph.size))
    recognize(outputs, graph.size, "auto", str(model))
    try:
        signature = signature_of(graph, outputs)
    except BackendError as error:
        raise BuildError(f"{model}: {error}") from None
    spec = BuildSpec(
        engine=engine_name(file, graph.size),
        form=FORM,
        source_sha256=file.digest,
        machine=machine,
        profile=profile_of(signature, ONE),
        options=msgspec.structs.replace(options, batch=ONE),
    )
    path = engine_path(bundle.root, machine, FORM, spec.engine)
    try:
        with alone(path.parent.parent):
            known = up_to_date(bundle.root, spec, rebuild)
            if known is None:
                check_place(
                    path.parent.parent / "engine", BuildError, size=max(SIZE, len(file.content))
                )
            source = GraphSource(path=str(model.absolute()), signature=signature, forms={})
            notify(model.name, 0, 1)
            built = known or build_in_place(
                bundle.root, spec, str(model), within(notify, model.name, 0, 1), source
            )
            result = Result(built, built=known is None)
            if machine.gpu is not None and built.facts.cosine is None:
                notify(f"{model.name}: comparing", 1, 1)
                result = _compared(result, graph, signature, open_device)
            notify("done", 1, 1)
    except OSError as error:
        raise BuildError(f"{path.parent}: cannot be written: {error.strerror or error}") from None
    return result


def _compared(
    result: Result, graph: DetectorGraph, signature: Engine, open_device: Callable[[], Device]
) -> Result:
    """The same, compared; as it was, where it cannot be run."""
    try:
        device = open_device()
    except DenetError:
        return result
    width, height = graph.size
    picture = np.random.default_rng(0).random((3, height, width), np.float32)
    engine = SingleEngine(result.engine, signature, lambda: device)
    try:
        made = engine.run({graph.picture: picture[None]})
    finally:
        engine.close()
    expected = graph.run(picture)
    contract = recognize(expected, graph.size, "auto", "the detector")
    cosine = _cosine(expected, made, ordered=contract.overlap is not None)
    return judged(result, Checked(cosine, LEAST["fp16"]))


def _cosine(
    expected: Mapping[str, NDArray[np.float32]],
    made: Mapping[str, NDArray[np.float32]],
    *,
    ordered: bool,
) -> float:
    """The least over the outputs. A network that chooses its boxes itself may put such as are
    equally good in another order: of that, numbers are compared by size."""
    cosines = [1.0]
    for name, wanted in expected.items():
        a, b = wanted.reshape(1, -1), made[name].reshape(1, -1)
        if not ordered:
            a, b = np.sort(a), np.sort(b)
        if a.any() or b.any():
            cosines.append(float(row_cosines(a, b)[0]))
    return float(np.min(cosines))  # NaN where one is
