"""Built engines against their ONNX files, where the GPU that they were built for is here.

A build chooses kernels by measuring, so another build of the same file can compute other numbers.
Each engine is run on what the engines before it make of the bundle's golden inputs, and compared
with the same ONNX file on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from denet.graph import Call, Graph, State, execute, image_value, stacked, unstacked
from export.tensorrt.keeping import Checked
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.onnxruntime.tensors import check_tensors
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.device import Device
from runtime.backends.tensorrt.files import BuiltEngine
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form, Forms
from runtime.canary import read_golden
from runtime.composer import Composer
from runtime.cosine import row_cosines
from runtime.preprocess import Preprocessor

Array = NDArray[np.float32]
Arrays = dict[str, Array]

LEAST: dict[Form, float] = {"fp32": 0.9999, "fp16": 0.999, "int8-trt": 0.99}
"""The least cosine by form. FP32 without TF32 differs by the order of its sums alone; in INT8 a
value at the edge of a step may fall to either side of it, in every layer."""


def covering_states(graph: Graph) -> tuple[State, ...]:
    """States whose plans have all engines: of those of each anchor the largest."""
    order = graph.modalities
    return tuple(graph.state(order[first:]) for first in range(len(order)))


def check_engines(
    bundle: Bundle,
    engines: Mapping[str, BuiltEngine],
    open_device: Callable[[], Device],
    notify: Callable[[str], None] = lambda _: None,
) -> dict[str, Checked]:
    """Run every engine on the device, and compare.

    Args:
        bundle: whose engines they are.
        engines: all of them.
        open_device: makes the device.
        notify: told the name of each before it is compared.

    Raises:
        BackendError: an engine cannot be loaded or run.
    """
    reference = _Reference(bundle, {name: e.facts.spec.form for name, e in engines.items()})
    composer = Composer(
        TensorRTBackend(engines, bundle.manifest.engines, open_device), bundle.manifest
    )
    found: dict[str, Checked] = {}

    def compare(call: Call, read: dict[str, tuple[Array, ...]]) -> Mapping[str, Sequence[Array]]:
        name, inputs = call.engine, stacked(read, np.stack)
        expected = reference.run(call, inputs)
        if name not in found:
            notify(name)
            made = composer.run_engine(name, inputs)
            cosine = min(_least_cosine(expected[tensor], made[tensor]) for tensor in expected)
            found[name] = Checked(cosine, LEAST[engines[name].facts.spec.form])
        return unstacked(expected)

    try:
        least, _, most = next(iter(engines.values())).facts.spec.options.batch
        images = _golden_images(bundle, max(least, min(2, most)))
        for state in covering_states(bundle.graph):
            execute(bundle.graph.plan(state).calls, dict(images), compare)
    finally:
        composer.close()
    return found


class _Reference:
    """The ONNX files on the CPU.

    A file made for TensorRT is computed to the letter there: quantized and dequantized, with
    products in float between.
    """

    def __init__(self, bundle: Bundle, forms: Forms) -> None:
        Pool.ensure(None)
        self._bundle = bundle
        self._forms = forms

    def run(self, call: Call, inputs: Arrays) -> Arrays:
        """The outputs of a call, by name."""
        form = self._forms[call.engine]
        model = self._bundle.read_engine(call.engine, form)
        session = open_session(model, CPU, call.engine, literal=form == "int8-trt")
        check_tensors(session, call.engine, self._bundle.manifest.engines[call.engine])
        names = list(call.outputs)
        return dict(zip(names, session.run(names, inputs), strict=True))


def _golden_images(bundle: Bundle, batch: int) -> Arrays:
    """The golden images as values of a plan, (batch, 3, H, W)."""
    preprocess = Preprocessor(bundle.manifest.preprocessing)
    golden = read_golden(bundle)
    images: Arrays = {}
    for m in bundle.graph.modalities:
        given = golden[f"image_{m}"]
        rows = [preprocess(given[i % len(given)], m) for i in range(batch)]
        images[image_value(m)] = np.stack(rows)
    return images


def _least_cosine(expected: Array, found: Array) -> float:
    """Of the rows: the last axis of vectors, a whole map of a feature."""
    rows = (-1, expected.shape[-1]) if expected.ndim < 4 else (len(expected), -1)
    return float(np.min(row_cosines(expected.reshape(rows), found.reshape(rows))))
