"""ONNX Runtime on a CPU or an NVIDIA GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.backends.base import (
    Backend,
    BackendError,
    Buffer,
    Call,
    CopyCall,
    EngineCall,
    Program,
    Span,
    Trace,
)
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


class _Sequence(Program):
    """Parts that run one after the other, each waited for."""

    def __init__(
        self,
        memory: Memory,
        uploads: Sequence[Buffer],
        calls: Sequence[tuple[str, str, Callable[[], None]]],
        downloads: Sequence[Buffer],
    ) -> None:
        self._memory = memory
        self._sent = tuple(uploads)
        self._calls = tuple(calls)
        self._fetched = tuple(downloads)
        self.uploads = tuple(memory.stage(buffer) for buffer in uploads)
        self._runs = tuple(run for _, _, run in calls)

    def run(self) -> tuple[NDArray[np.float32], ...]:
        for buffer in self._sent:
            self._memory.push(buffer)
        for call in self._runs:
            call()
        return tuple(self._memory.pull(buffer) for buffer in self._fetched)

    def trace(self) -> Trace:
        push, pull = self._memory.push, self._memory.pull
        parts: list[tuple[str, str, Callable[[], object]]] = [
            *(("upload", "upload", partial(push, buffer)) for buffer in self._sent),
            *self._calls,
            *(("download", "download", partial(pull, buffer)) for buffer in self._fetched),
        ]
        clock = time.perf_counter
        spans: list[Span] = []
        began = clock()
        for kind, name, run in parts:
            start = clock()
            run()
            spans.append(Span(kind, name, 0, start - began, clock() - began))
        return Trace(None, clock() - began, tuple(spans))


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

    def program(
        self, uploads: Sequence[Buffer], calls: Sequence[Call], downloads: Sequence[Buffer]
    ) -> Program:
        return _Sequence(self._memory, uploads, [self._bound(call) for call in calls], downloads)

    def _bound(self, call: Call) -> tuple[str, str, Callable[[], None]]:
        if isinstance(call, CopyCall):
            return "copy", "copy", self._memory.copy(call.source, call.target)
        return "engine", call.engine, self._bind(call)

    def _bind(self, call: EngineCall) -> _Bound:
        self.load(call.engine)
        session = self._sessions[call.engine]
        binding = session.io_binding()
        for name, buffer in call.inputs.items():
            binding.bind_input(name, self._device, 0, np.float32, buffer.shape, buffer.address)
        for name, buffer in call.outputs.items():
            binding.bind_output(name, self._device, 0, np.float32, buffer.shape, buffer.address)
        return _Bound(session, binding, (*call.inputs.values(), *call.outputs.values()))

    def close(self) -> None:
        self._sessions.clear()
