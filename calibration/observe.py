"""Activation ranges, from running the FP32 engines over samples in all of their missing states.

Memory does not grow with the samples: each tensor has its extremes and one histogram.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import numpy as np
import onnx

from calibration.errors import CalibrationError
from calibration.onnxruntime_tools import HistogramCollector
from calibration.ranges import PERCENTILE, Ranges
from calibration.replay import Arrays, Replay, ReplayEngines, all_in
from calibration.samples import ChosenSamples
from denet.graph import kind_of
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form

BINS = 256
"""Of a histogram, from minus to plus the largest magnitude that was seen first. The time that the
entropy method takes grows with their square."""

QUANTIZED_BINS = 128
"""To which the entropy method compares: what int8 leaves of one sign."""


class Observer(ReplayEngines):
    """FP32 engines whose inner activations are looked at whenever they run.

    Args:
        bundle: whose engines they are.
        threads: of ONNX Runtime.
        histograms: whether scales will be made of what is seen; else extremes are enough.
    """

    def __init__(self, bundle: Bundle, threads: int | None, *, histograms: bool = True) -> None:
        self._bundle = bundle
        self._wanted = histograms
        self._own: dict[str, list[str]] = {}
        self._extremes: dict[str, dict[str, tuple[float, float]]] = {}
        self._histograms: dict[str, HistogramCollector] = {}
        super().__init__(bundle.graph, self._tapped, threads)

    def run(self, engine: str, form: Form, inputs: Arrays) -> Arrays:
        made = super().run(engine, form, inputs)
        seen = {name: array for name, array in (inputs | made).items() if array.size}
        extremes = self._extremes.setdefault(engine, {})
        for name, array in seen.items():
            low, high = float(array.min()), float(array.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise CalibrationError(
                    f"{self._bundle.root}: {engine}: the tensor {name} is not finite in FP32: the "
                    "model is broken"
                )
            before = extremes.get(name, (low, high))
            extremes[name] = min(before[0], low), max(before[1], high)
        if self._wanted and kind_of(engine) != "dem":  # edges keep float activations
            if engine not in self._histograms:
                self._histograms[engine] = _collector("entropy")
            self._histograms[engine].collect_value(seen)
        return {name: made[name] for name in self._own[engine]}

    def ranges(self, engine: str) -> dict[str, Ranges]:
        """Of each tensor of an engine that has run."""
        minmax = self._extremes[engine]
        if engine not in self._histograms:
            return {name: Ranges(minmax=extremes) for name, extremes in minmax.items()}
        histograms = self._histograms[engine].get_histogram_dict()
        by_method: dict[str, dict[str, tuple[float, float]]] = {}
        for method in ("percentile", "entropy"):
            collector = _collector(method)
            collector.histogram_dict = histograms
            with contextlib.redirect_stdout(io.StringIO()):
                found = collector.compute_collection_result()
            by_method[method] = {
                # Of a tensor that hardly varies the library may find a highest value below its
                # lowest: a gate of an untrained network, 0.5 everywhere.
                name: (float(v[0]), float(v[1])) if v[0] <= v[1] else minmax[name]
                for name, v in found.items()
            }
        return {
            name: Ranges(
                minmax=extremes,
                percentile=by_method["percentile"][name],
                entropy=by_method["entropy"][name],
            )
            for name, extremes in minmax.items()
        }

    @property
    def seen(self) -> list[str]:
        """The engines that have run."""
        return list(self._extremes)

    def _tapped(self, engine: str, form: Form) -> bytes:
        """The engine, which also puts out every float tensor within it."""
        model = onnx.load_from_string(self._bundle.read_engine(engine, form))
        graph = onnx.shape_inference.infer_shapes(model).graph
        self._own[engine] = [value.name for value in graph.output]
        inner = {v.name: v for v in graph.value_info}
        for node in graph.node:
            for name in node.output:
                value = inner.get(name)
                if value and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
                    model.graph.output.append(value)
        tapped: bytes = model.SerializeToString()
        return tapped


def observe(
    bundle: Bundle,
    chosen: ChosenSamples,
    threads: int | None,
    batch: int,
    notify: Callable[[int], None] = lambda _: None,
) -> dict[str, dict[str, Ranges]]:
    """The ranges of every tensor of every engine that the samples' states run.

    Args:
        bundle: with FP32 engines.
        chosen: the samples.
        threads: of ONNX Runtime.
        batch: samples at once.
        notify: told of so many samples more.
    """
    observer = Observer(bundle, threads)
    forms = all_in(bundle.graph, "fp32")
    for images in chosen.batches(batch):
        replay = Replay(observer, images)
        for state in chosen.states:
            replay.parts(state, forms)
        notify(len(images[chosen.state.anchor]))
    return {engine: observer.ranges(engine) for engine in observer.seen}


def _collector(method: str) -> HistogramCollector:
    return HistogramCollector(
        method=method,
        symmetric=False,
        num_bins=BINS,
        num_quantized_bins=QUANTIZED_BINS,
        percentile=PERCENTILE,
        scenario="same",
    )
