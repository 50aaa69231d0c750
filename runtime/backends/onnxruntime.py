"""ONNX Runtime on a CPU or an NVIDIA GPU.

All engines share one thread pool. By default every ONNX Runtime session brings a pool of
spinning threads of its own, and 15 of them fight for the cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.backends.base import Backend, BackendError, Buffer
from runtime.backends.memory import CudaMemory, HostMemory, Memory
from runtime.bundle import Bundle, Precision

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class _Pool:
    """The process's one pool of CPU threads; its size is fixed when it is made."""

    threads: int | None = None
    made = False
    shared = False

    @classmethod
    def ensure(cls, threads: int | None) -> None:
        """Make the pool with `threads` threads, or find it made so.

        Raises:
            BackendError: the pool was made with another size.
        """
        if cls.made:
            if threads is not None and threads != cls.threads:
                size = "its default size" if cls.threads is None else f"{cls.threads} threads"
                raise BackendError(
                    f"the process's thread pool was made with {size} and cannot be changed to "
                    f"{threads} threads: the first runtime of a process decides"
                )
            return
        # Older releases (on JetPack 6, say) cannot share a pool from Python.
        if hasattr(ort, "set_global_thread_pool_sizes"):
            try:
                ort.set_global_thread_pool_sizes(threads or 0, 1)
            except Exception:  # the application that embeds us has made a shared pool already
                if threads is not None:
                    raise BackendError(
                        "this application has already made ONNX Runtime's shared thread pool: "
                        "leave `threads` unset to use it"
                    ) from None
            cls.shared = True
        cls.threads, cls.made = threads, True


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
        precision: of the engines.
        device: "cpu" or "cuda" (device 0).
        threads: size of the process's shared CPU pool; None for ONNX Runtime's default, the
            physical cores.

    Raises:
        BackendError: the device or the number of threads cannot be had.
    """

    def __init__(
        self, bundle: Bundle, precision: Precision, *, device: str, threads: int | None
    ) -> None:
        self.name = f"ort-{device}"
        self._bundle = bundle
        self._precision: Precision = precision
        self._device = device
        self._sessions: dict[str, ort.InferenceSession] = {}
        if device == "cuda" and _PROVIDERS[device] not in ort.get_available_providers():
            raise BackendError(
                "this ONNX Runtime was built without CUDA: install onnxruntime-gpu instead"
            )
        _Pool.ensure(threads)
        self._memory: Memory = HostMemory() if device == "cpu" else CudaMemory()

    def load(self, engine: str) -> None:
        if engine in self._sessions:
            return
        model = self._bundle.read_engine(engine, self._precision)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if _Pool.shared:
            options.use_per_session_threads = False
        else:
            options.intra_op_num_threads = _Pool.threads or 0
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._device != "cpu":
            # Without this, operators that the GPU cannot run would silently go to the CPU.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            self._sessions[engine] = ort.InferenceSession(
                model, options, providers=[_PROVIDERS[self._device]]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise BackendError(f"{self.name}: cannot load the engine {engine}: {error}") from None
        if _PROVIDERS[self._device] not in self._sessions[engine].get_providers():
            del self._sessions[engine]
            raise BackendError(
                f"{self.name}: ONNX Runtime cannot start {_PROVIDERS[self._device]} here: "
                "see that CUDA and cuDNN of the versions it was built for are installed"
            )

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
