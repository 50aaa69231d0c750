"""Built engines against their ONNX files, where the GPU that they were built for is here.

A build chooses kernels by measuring, so another build of the same file can compute other numbers.
Each engine is run on what the engines before it make of the bundle's golden inputs, and compared
with the same ONNX file on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.graph import MODALITIES, STACKED, State, image_value, plan
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.device import Device
from runtime.backends.tensorrt.files import BuiltEngine
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form
from runtime.composer import Composer
from runtime.cosine import row_cosines
from runtime.preprocess import Preprocessor

Arrays = dict[str, NDArray[np.float32]]

LEAST: dict[Form, float] = {"fp32": 0.9999, "fp16": 0.999, "int8-trt": 0.99}
"""The least cosine by form. FP32 without TF32 differs by the order of its sums alone; in INT8 a
value at the edge of a step may fall to either side of it, in every layer."""

STATES = tuple(map(State.parse, ("rgb+nir+tir", "nir+tir", "tir")))
"""Their plans have all 15 engines: each modality is the anchor of one."""


@dataclass(frozen=True)
class Checked:
    """How near an engine comes to its ONNX file.

    Attributes:
        cosine: the least over the rows of its outputs.
        least: that is allowed.
    """

    cosine: float
    least: float

    @property
    def good(self) -> bool:
        """False for NaN as well."""
        return self.cosine >= self.least


def check_engines(
    bundle: Bundle,
    engines: Mapping[str, BuiltEngine],
    open_device: Callable[[], Device],
    notify: Callable[[str], None] = lambda _: None,
) -> dict[str, Checked]:
    """Run every engine on the device, and compare.

    Args:
        bundle: whose engines they are.
        engines: all 15.
        open_device: makes the device.
        notify: told the name of each before it is compared.

    Raises:
        BackendError: an engine cannot be loaded or run.
    """
    composer = Composer(
        TensorRTBackend(engines, bundle.manifest.engines, open_device), bundle.manifest
    )
    found: dict[str, Checked] = {}
    try:
        least, _, most = engines["branch_rgb"].facts.spec.options.batch
        for name, inputs, expected in _reference(bundle, engines, max(least, min(2, most))):
            notify(name)
            made = composer.run_engine(name, inputs)
            cosine = min(_least_cosine(expected[tensor], made[tensor]) for tensor in expected)
            found[name] = Checked(cosine, LEAST[engines[name].facts.spec.form])
    finally:
        composer.close()
    return found


def _reference(
    bundle: Bundle, engines: Mapping[str, BuiltEngine], batch: int
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Each engine with inputs from golden images, and what its ONNX file makes of them on the CPU.

    A file made for TensorRT is computed to the letter there: quantized and dequantized, with
    products in float between.
    """
    Pool.ensure(None)
    preprocess = Preprocessor(bundle.manifest.preprocessing)
    golden = bundle.read_arrays(bundle.manifest.canary.file)
    images: Arrays = {}
    for m in MODALITIES:
        given = golden[f"image_{m}"]
        rows = [preprocess(given[i % len(given)], m) for i in range(batch)]
        images[image_value(m)] = np.stack(rows)
    done: set[str] = set()
    for state in STATES:
        values: Arrays = dict(images)
        for call in plan(state).calls:
            inputs = {name: _joined(values, name, made) for name, made in call.inputs.items()}
            form = engines[call.engine].facts.spec.form
            model = bundle.read_engine(call.engine, form)
            session = open_session(model, CPU, call.engine, literal=form == "int8-trt")
            names = list(call.outputs)
            outputs: Arrays = dict(zip(names, session.run(names, inputs), strict=True))
            for name, made in call.outputs.items():
                each = outputs[name] if name in STACKED else outputs[name][np.newaxis]
                values |= dict(zip(made, each, strict=True))
            if call.engine not in done:
                done.add(call.engine)
                yield call.engine, inputs, outputs


def _joined(values: Arrays, name: str, made: tuple[str, ...]) -> NDArray[np.float32]:
    """What an input called `name` gets: one value, or those of several targets stacked."""
    return np.stack([values[v] for v in made]) if name in STACKED else values[made[0]]


def _least_cosine(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Of the rows: the last axis of vectors, a whole map of a feature."""
    rows = (-1, expected.shape[-1]) if expected.ndim < 4 else (len(expected), -1)
    return float(np.min(row_cosines(expected.reshape(rows), found.reshape(rows))))
