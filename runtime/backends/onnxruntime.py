"""ONNX Runtime on a CPU or an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.backends.base import Backend, BackendError, Buffer
from runtime.backends.memory import CudaMemory, HostMemory, Memory
from runtime.backends.session import PROVIDERS, Pool, open_session
from runtime.bundle import Bundle
from runtime.forms import Forms


@dataclass(frozen=True)
class _Bound:
    """An engine bound to buffers, which it keeps alive: ONNX Runtime knows only addresses."""

    session: ort.InferenceSession
    binding: ort.IOBinding
    buffers: tuple[Buffer, ...]

    def __call__(self) -> None:
        self.session.run_with_iobinding(self.binding)


class OnnxRuntimeBackend(Backend):
    """Engines as ONNX Runtime sessions with bound inputs and outputs.

    Args:
        bundle: where the engines are read from.
        forms: in which form each engine runs.
        device: "cpu" or "cuda" (device 0).
        threads: size of the process's shared CPU pool; None for ONNX Runtime's default, the
            physical cores.

    Raises:
        BackendError: the device or the number of threads cannot be had.
    """

    def __init__(self, bundle: Bundle, forms: Forms, *, device: str, threads: int | None) -> None:
        self.name = f"ort-{device}"
        self._bundle = bundle
        self._forms = forms
        self._device = device
        self._sessions: dict[str, ort.InferenceSession] = {}
        if device == "cuda" and PROVIDERS[device] not in ort.get_available_providers():
            raise BackendError(
                "this ONNX Runtime was built without CUDA: install onnxruntime-gpu instead"
            )
        Pool.ensure(threads)
        self._memory: Memory = HostMemory() if device == "cpu" else CudaMemory()

    def load(self, engine: str) -> None:
        if engine not in self._sessions:
            model = self._bundle.read_engine(engine, self._forms[engine])
            self._sessions[engine] = open_session(model, self._device, engine)

    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        return self._memory.allocate(shape)

    def stage(self, buffer: Buffer) -> NDArray[np.float32]:
        return self._memory.stage(buffer)

    def push(self, buffer: Buffer) -> None:
        self._memory.push(buffer)

    def pull(self, buffer: Buffer) -> NDArray[np.float32]:
        return self._memory.pull(buffer)

    def copy(self, source: Buffer, target: Buffer) -> Callable[[], None]:
        return self._memory.copy(source, target)

    def bind(
        self, engine: str, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]
    ) -> Callable[[], None]:
        self.load(engine)
        session = self._sessions[engine]
        binding = session.io_binding()
        for name, buffer in inputs.items():
            binding.bind_input(name, self._device, 0, np.float32, buffer.shape, buffer.address)
        for name, buffer in outputs.items():
            binding.bind_output(name, self._device, 0, np.float32, buffer.shape, buffer.address)

        return _Bound(session, binding, (*inputs.values(), *outputs.values()))

    def close(self) -> None:
        self._sessions.clear()
