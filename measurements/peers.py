"""What composed engines are measured against: PyTorch, OpenVINO.

Each function gives runs of one batch: network input is copied in, and the parts are read out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import openvino
import torch
from numpy.typing import NDArray

from denet.graph import STACKED, Modality, State, image_value
from denet.model import DENet
from export.monolith import Monolith
from runtime import Bundle
from runtime.benchmark.turns import Side
from runtime.bundle.forms import Forms
from runtime.layout import VECTORS, Copy, EngineRun, Rows, layout

Tensors = Mapping[Modality, NDArray[np.float32]]


def torch_side(model: DENet, state: State, samples: Sequence[Tensors], *, compiled: bool) -> Side:
    """PyTorch in inference mode, as it is or through `torch.compile`."""
    whole: torch.nn.Module = Monolith(model, state).eval()
    if compiled:
        whole = torch.compile(whole, dynamic=False)  # type: ignore[assignment]

    def run() -> NDArray[np.float32]:
        with torch.inference_mode():
            images = {
                m: torch.from_numpy(np.stack([sample[m] for sample in samples]))
                for m in state.available
            }
            made: NDArray[np.float32] = whole(**images).numpy()
            return made.transpose(1, 0, 2).copy()

    return run


def cpu_options(threads: int) -> dict[str, object]:
    """What OpenVINO is asked for, so that it computes as ONNX Runtime does."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Its own default may compute in bfloat16 where the CPU can.
        "INFERENCE_PRECISION_HINT": "f32",
    }


class OpenVino:
    """The same engine files in OpenVINO, composed by the same layouts, in buffers bound alike."""

    def __init__(self, bundle: Bundle, forms: Forms, threads: int) -> None:
        self._bundle, self._forms = bundle, forms
        self._core = openvino.Core()
        self._options = cpu_options(threads)
        self._compiled: dict[str, openvino.CompiledModel] = {}

    def _engine(self, name: str) -> openvino.CompiledModel:
        if name not in self._compiled:
            content = self._bundle.read_engine(name, self._forms[name])
            model = self._core.read_model(content)
            self._compiled[name] = self._core.compile_model(model, "CPU", self._options)
        return self._compiled[name]

    def side(self, states: Sequence[State], samples: Sequence[Tensors]) -> Side:
        """A batch in `states`, which must be in `runtime.layout.batch_order`."""
        rows = layout(self._bundle.graph, states)
        manifest = self._bundle.manifest
        size = manifest.preprocessing
        shapes = {
            "image": (3, size.height, size.width),
            "feature": (manifest.channels, *manifest.feature_size),
            "vector": (manifest.channels,),
        }
        tables = {
            name: np.empty((count, *shapes[rows.kinds[name]]), np.float32)
            for name, count in rows.tables.items()
        }

        def view(span: Rows) -> NDArray[np.float32]:
            return tables[span.table][span.start : span.stop]

        def bound(step: Copy | EngineRun) -> Side:
            if isinstance(step, Copy):
                source, target = view(step.source), view(step.target)
                return lambda: np.copyto(target, source)
            request = self._engine(step.engine).create_infer_request()
            for name, span in {**step.inputs, **step.outputs}.items():
                array = view(span)
                if name in STACKED:
                    array = array.reshape(step.targets, step.batch, manifest.channels)
                request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
            return request.infer

        steps = [bound(step) for step in rows.steps]
        parts = np.asarray(rows.parts, np.intp)

        def run() -> NDArray[np.float32]:
            for m, held in rows.images.items():
                for row, i in enumerate(held):
                    np.copyto(tables[image_value(m)][row], samples[i][m])
            for step in steps:
                step()
            made: NDArray[np.float32] = tables[VECTORS][parts]
            return made

        return run

    def engine_side(self, name: str, inputs: Mapping[str, NDArray[np.float32]]) -> Side:
        """One engine alone."""
        request = self._engine(name).create_infer_request()
        for tensor, array in inputs.items():
            request.set_tensor(tensor, openvino.Tensor(array, shared_memory=True))
        return request.infer
