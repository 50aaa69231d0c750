"""ONNX Runtime on a CPU or an NVIDIA GPU, by any of its execution providers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from denet.mishaps import is_out_of_memory
from runtime.backends.base import (
    Backend,
    BackendError,
    Buffer,
    CopyCall,
    EngineCall,
    LayerRuns,
    Program,
    ProgramCall,
    Span,
    Trace,
)
from runtime.backends.onnxruntime.graph_cache import GraphCache
from runtime.backends.onnxruntime.layers import read_layers
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.memory import CudaMemory, DeviceMemory, HostMemory
from runtime.backends.onnxruntime.providers import Provider
from runtime.backends.onnxruntime.releases import why_no_int8
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.onnxruntime.smallest import RELU
from runtime.backends.onnxruntime.tensors import check_tensors
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Forms


@dataclass(frozen=True)
class _Bound:
    """An engine bound to buffers. Keeps their memory alive: ONNX Runtime knows only addresses."""

    engine: str
    session: ort.InferenceSession
    binding: ort.IOBinding
    alive: tuple[object, ...]

    def __call__(self) -> None:
        try:
            self.session.run_with_iobinding(self.binding)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            if is_out_of_memory(error):
                raise
            raise BackendError(f"the engine {self.engine} cannot be run: {error}") from None


def _owners(*buffers: Buffer) -> tuple[object, ...]:
    """Whose memory these are in, each once: many programs are kept, so they should be small."""
    return tuple({id(buffer.owner): buffer.owner for buffer in buffers}.values())


class _Sequence(Program):
    """Parts that run one after the other, each waited for."""

    def __init__(
        self,
        memory: DeviceMemory,
        uploads: Sequence[Buffer],
        calls: Sequence[tuple[str, str, Callable[[], None]]],
        downloads: Sequence[Buffer],
    ) -> None:
        self.uploads = tuple(memory.stage(buffer) for buffer in uploads)
        self._calls = tuple(calls)
        self._pushes = tuple(memory.push(buffer) for buffer in uploads)
        self._runs = tuple(run for _, _, run in calls)
        self._pulls = tuple(memory.pull(buffer) for buffer in downloads)
        self._alive = _owners(*uploads, *downloads)

    def run(self) -> tuple[NDArray[np.float32], ...]:
        for push in self._pushes:
            push()
        for call in self._runs:
            call()
        return tuple(pull() for pull in self._pulls)

    def trace(self) -> Trace:
        parts: list[tuple[str, str, Callable[[], object]]] = [
            *(("upload", "upload", push) for push in self._pushes),
            *self._calls,
            *(("download", "download", pull) for pull in self._pulls),
        ]
        clock = time.perf_counter
        times = []
        began = clock()
        for _, _, run in parts:
            start = clock()
            run()
            times.append((start - began, clock() - began))
        seconds = clock() - began
        spans = (Span(part[0], part[1], 0, *at) for part, at in zip(parts, times, strict=True))
        return Trace(None, seconds, tuple(spans))


class OnnxRuntimeBackend(Backend):
    """Engines as ONNX Runtime sessions with bound inputs and outputs.

    Args:
        bundle: where the engines are read from.
        forms: in which form each engine runs.
        provider: what runs them: the CPU, or CUDA device 0.
        threads: size of the process's shared CPU pool; None for the physical cores that this
            process may use.
        own_pool: threads for each engine instead of the shared pool.
        max_batch: the largest batch that a provider which compiles engines has to take.
        cache: a folder where optimized graphs are kept, for the CPU.
        literal: compute INT8 step by step, as another device would: a reference, slow.

    Raises:
        BackendError: the provider or the number of threads cannot be had, this ONNX Runtime
            is too old for a form, or nothing can be written to `cache`.
    """

    def __init__(
        self,
        bundle: Bundle,
        forms: Forms,
        provider: Provider,
        *,
        threads: int | None,
        max_batch: int,
        own_pool: bool = False,
        cache: Path | None = None,
        literal: bool = False,
    ) -> None:
        self.name = provider.backend
        self._bundle = bundle
        self._forms = forms
        self._provider = provider
        self._max_batch = max_batch
        self._literal = literal
        self._device = "cpu" if provider.is_cpu else "cuda"
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._notes: TemporaryDirectory[str] | None = None
        # Other providers take parts of a graph over that such a file cannot hold.
        self._cache = GraphCache(cache) if cache is not None and provider.is_cpu else None
        provider.check()
        if provider.is_cpu and any(form.startswith("int8") for form in forms.values()):
            reason = why_no_int8(ort.__version__)
            if reason is not None:
                raise BackendError(f"{self.name}: {reason}")
        Pool.ensure(threads, own=own_pool)
        self._memory: DeviceMemory = HostMemory() if provider.is_cpu else CudaMemory()
        if not provider.is_cpu and provider.prefix is None:
            # A provider is listed, too, whose libraries are missing. Those that compile would take
            # seconds for an answer, and are asked for by name.
            open_session(RELU, provider, "that tries it")

    def load(self, engine: str) -> None:
        if engine not in self._sessions:
            session = self._open(engine) if self._cache is None else self._kept(engine, self._cache)
            check_tensors(session, engine, self._bundle.manifest.engines[engine])
            self._sessions[engine] = session

    def _open(self, engine: str, optimized_to: Path | None = None) -> ort.InferenceSession:
        form = self._forms[engine]
        model = self._bundle.read_engine(engine, form)
        provider = self._provider.for_engine(self._bundle, engine, form, self._max_batch)
        return open_session(
            model,
            provider,
            engine,
            literal=self._literal,
            profile=self._profile_of(engine),
            optimized_to=optimized_to,
        )

    def _kept(self, engine: str, cache: GraphCache) -> ort.InferenceSession:
        """The same from the graph that is kept, or keeping it."""
        digest = self._bundle.manifest.engines[engine].files[self._forms[engine]].sha256
        graph = cache.find(digest)
        if graph is not None:
            notes = self._profile_of(engine)
            return open_session(graph, self._provider, engine, profile=notes, optimized=True)
        with cache.keeping(digest) as written:
            try:
                return self._open(engine, written)
            except BackendError:
                if written is None:
                    raise
                return self._open(engine)  # a disk that is full by now is no reason not to run

    def _profile_of(self, engine: str) -> Path | None:
        return None if self._notes is None else Path(self._notes.name) / engine

    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        return self._memory.allocate(shape)

    def program(
        self, uploads: Sequence[Buffer], calls: Sequence[ProgramCall], downloads: Sequence[Buffer]
    ) -> Program:
        return _Sequence(self._memory, uploads, [self._bound(call) for call in calls], downloads)

    def _bound(self, call: ProgramCall) -> tuple[str, str, Callable[[], None]]:
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
        return _Bound(
            call.engine, session, binding, _owners(*call.inputs.values(), *call.outputs.values())
        )

    def observe_layers(self) -> None:
        if not self._provider.is_cpu:
            raise BackendError(
                f"{self.name}: ONNX Runtime tells how long a GPU's layers take to be queued, not "
                "to run: profile the backend tensorrt, or ort-cpu"
            )
        assert not self._sessions, "engines that are loaded note nothing"
        self._notes = TemporaryDirectory(prefix="denet-profile-")

    def observed_layers(self) -> LayerRuns:
        if self._notes is None:
            return {}
        # It ends each file only now.
        ended = {e: Path(session.end_profiling()) for e, session in self._sessions.items()}
        found = {engine: read_layers(path) for engine, path in ended.items()}
        self._end_notes()
        return found

    def _end_notes(self) -> None:
        if self._notes is not None:
            self._notes.cleanup()
            self._notes = None

    def close(self) -> None:
        self._sessions.clear()  # one that notes writes its file when it goes
        self._end_notes()
