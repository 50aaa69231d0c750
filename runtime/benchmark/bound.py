"""A graph of ONNX Runtime bound to buffers, for what the runtime itself does not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.providers import Provider
from runtime.backends.onnxruntime.session import open_session

Arrays = Mapping[str, NDArray[Any]]


class Bound:
    """A session in the shared thread pool, with its inputs and outputs bound.

    Attributes:
        inputs: host arrays by name, to fill before each run: on a CPU the bound memory itself.

    Args:
        model: a serialized ONNX model.
        provider: what runs it.
        name: for messages.
        inputs: contiguous arrays.
        outputs: likewise, of the outputs' shapes and types.

    Raises:
        BackendError: it cannot be loaded there.
    """

    def __init__(
        self, model: bytes, provider: Provider, name: str, inputs: Arrays, outputs: Arrays
    ) -> None:
        self.inputs = dict(inputs)
        self._outputs = dict(outputs)
        self._on_host = provider.is_cpu
        self._session = open_session(model, provider, name)
        self._binding = self._session.io_binding()
        device = "cpu" if provider.is_cpu else "cuda"
        # On a CPU these hold no copy: they are the arrays.
        self._sent = {n: ort.OrtValue.ortvalue_from_numpy(a, device, 0) for n, a in inputs.items()}
        self._made = {n: ort.OrtValue.ortvalue_from_numpy(a, device, 0) for n, a in outputs.items()}
        for name, value in self._sent.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._made.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self) -> None:
        """Send the inputs, run, and wait until it is done."""
        if not self._on_host:
            for name, value in self._sent.items():
                value.update_inplace(self.inputs[name])
        self.run_again()

    def run_again(self) -> None:
        """Run on what was sent last, and wait until it is done."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def output(self, name: str) -> NDArray[np.float32]:
        """An output on the host, valid until the next run."""
        array: NDArray[np.float32] = (
            self._outputs[name] if self._on_host else self._made[name].numpy()
        )
        return array
