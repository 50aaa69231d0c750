"""TensorRT engines: which are loaded, what they take, the memory they share, and what to do when
the GPU fails. All of it is decided here, without touching a GPU (`cuda` beside it does).

Features stay on the device between engines. Scratch memory belongs to a stream: the engines that
run on it never run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import (
    FLOAT_BYTES,
    Backend,
    BackendError,
    Buffer,
    CopyCall,
    DeviceLostError,
    LayerRuns,
    Program,
    ProgramCall,
)
from runtime.backends.tensorrt.device import Device, DeviceEngine, DeviceError
from runtime.backends.tensorrt.files import BuiltEngine
from runtime.backends.tensorrt.layers import ObservedContext, read_operators
from runtime.backends.tensorrt.operations import (
    Allocation,
    CopyOperation,
    EngineOperation,
    Lane,
    LoadedEngine,
    Operation,
    Transfer,
)
from runtime.backends.tensorrt.streams import StreamProgram
from runtime.bundle.manifest import Engine

LANES = 3
"""Streams: as many as there are branches, the only engines that are worth running at once."""

GRAPHS = 32
"""Graphs that are kept; each holds contexts of its own, some MB of device memory."""


class TensorRTBackend(Backend):
    """Built engines, run by a device.

    Args:
        engines: the built engines.
        specs: what the bundle says of them.
        open_device: makes the device; called again where it was lost.

    Attributes:
        device: the device.
        lanes: its streams.
        scratch_age: goes up whenever scratch memory moves; a graph of another age knows memory
            that is no more.
        lost: why nothing can be run any more, if so.

    Raises:
        BackendError: there is no such device.
    """

    name = "tensorrt"

    def __init__(
        self,
        engines: Mapping[str, BuiltEngine],
        specs: Mapping[str, Engine],
        open_device: Callable[[], Device],
    ) -> None:
        self._engines = engines
        self._specs = specs
        self._open_device = open_device
        self.largest_batch = min(e.facts.spec.options.batch[2] for e in engines.values())
        self.lost: str | None = None
        # What is to be freed where the context is current, whichever thread let it go.
        self._discarded: list[object] = []
        self.scratch_age = 0
        self._observed: dict[str, ObservedContext] | None = None
        self._open()

    def _open(self) -> None:
        self.device = self._open_device()
        self._loaded: dict[str, LoadedEngine] = {}
        self._graphs: WeakKeyDictionary[StreamProgram, None] = WeakKeyDictionary()
        with self.guarded() as device:
            self.lanes = [Lane(device.stream()) for _ in range(LANES)]

    @contextmanager
    def guarded(self) -> Iterator[Device]:
        """The device, its context made current. If it fails inside, see whether it can go on.

        Raises:
            DeviceLostError: it cannot; it was opened again if that was possible.
            DeviceError: what failed, if it can.
        """
        if self.lost:
            raise DeviceLostError(self.lost)
        try:
            with self.device.entered():
                self._free()
                yield self.device
        except DeviceError as error:
            if not self._settled():
                self._reopen(error)
            raise

    def _settled(self) -> bool:
        """Wait until the device is idle: whether it still works."""
        try:
            with self.device.entered():
                return self.device.settle()
        except DeviceError:
            return False

    def _reopen(self, error: DeviceError) -> None:
        """Give the device up and open it again. What was on it is gone with its context."""
        self.device.close()
        self._free()
        try:
            self._open()
        except BackendError:
            self.lost = f"{error}; the GPU can no longer be used by this process: restart it"
            raise DeviceLostError(self.lost) from None
        raise DeviceLostError(
            f"{error}; the GPU was set up again, and the batch that it had is lost"
        ) from None

    def load(self, engine: str) -> None:
        if engine in self._loaded:
            return
        built = self._engines[engine]
        content = built.read()
        own_code = built.facts.spec.options.version_compatible
        with self.guarded() as device:
            loaded = device.load(content, engine, host_code=own_code)
            self._check(engine, loaded)
            context = loaded.context()
            if self._observed is not None:
                context = ObservedContext(context, read_operators(loaded.inspect()))
                self._observed[engine] = context
            self._loaded[engine] = LoadedEngine(loaded, context)

    def _check(self, engine: str, loaded: DeviceEngine) -> None:
        """See that its tensors are the manifest's."""
        spec = self._specs[engine]
        wanted = {tensor.name: (True, tensor) for tensor in spec.inputs}
        wanted |= {tensor.name: (False, tensor) for tensor in spec.outputs}
        found = loaded.tensors
        if set(found) == set(wanted) and all(
            (found[name].is_input, found[name].dtype) == (is_input, tensor.dtype)
            and _agree(tensor.shape, found[name].shape)
            for name, (is_input, tensor) in wanted.items()
        ):
            return
        shown = ", ".join(f"{name} {t.dtype} {t.shape}" for name, t in sorted(found.items()))
        raise BackendError(
            f"{self._engines[engine].path}: its tensors are not those of the bundle but {shown}: "
            "build it again"
        )

    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        memory = self._memory(prod(shape) * FLOAT_BYTES)
        return Buffer(memory.address, shape, memory)

    def _memory(self, size: int) -> Allocation:
        with self.guarded() as device:
            address, handle = device.allocate(size)
        return Allocation(address, size, handle, self._discarded)

    def program(
        self, uploads: Sequence[Buffer], calls: Sequence[ProgramCall], downloads: Sequence[Buffer]
    ) -> Program:
        operations: list[Operation] = [self._transfer(buffer, up=True) for buffer in uploads]
        operations += [self._operation(call) for call in calls]
        operations += [self._transfer(buffer, up=False) for buffer in downloads]
        return StreamProgram(self, operations)

    def _transfer(self, buffer: Buffer, *, up: bool) -> Operation:
        return Transfer(self.device, self._mirror(buffer), buffer, up=up)

    def _mirror(self, buffer: Buffer) -> NDArray[np.float32]:
        """The pinned array for a buffer: its rows of the one that mirrors all of its memory."""
        memory = buffer.owner
        assert isinstance(memory, Allocation)
        if memory.mirror is None:
            with self.guarded() as device:
                memory.mirror = device.pinned(memory.size // FLOAT_BYTES)
        start = (buffer.address - memory.address) // FLOAT_BYTES
        return memory.mirror[start : start + prod(buffer.shape)].reshape(buffer.shape)

    def _operation(self, call: ProgramCall) -> Operation:
        if isinstance(call, CopyCall):
            return CopyOperation(self.device, call)
        self.load(call.engine)
        profile = self._engines[call.engine].facts.spec.profile
        for name, buffer in call.inputs.items():
            least, _, most = profile[name]
            dimensions = zip(least, buffer.shape, most, strict=True)
            if not all(low <= dimension <= high for low, dimension, high in dimensions):
                raise BackendError(
                    f"{call.engine}: was built for {name} of {_shape(least)} to {_shape(most)}, "
                    f"not {_shape(buffer.shape)}: build it for such batches (`denet build BUNDLE "
                    "--batch MIN:OPT:MAX`)"
                )
        return EngineOperation(call, self._loaded[call.engine])

    def reserve(self, lane: Lane, size: int) -> None:
        """See that a lane has at least `size` bytes of scratch memory."""
        if size > (lane.scratch.size if lane.scratch else 0):
            lane.scratch = None  # let go before the larger one is taken
            self.scratch_age += 1
            lane.scratch = self._memory(size)

    def keep(self, program: StreamProgram) -> None:
        """Note that a program's graph was used, and drop the one that was not for longest."""
        self._graphs.pop(program, None)
        self._graphs[program] = None
        if len(self._graphs) > GRAPHS:
            oldest = next(iter(self._graphs))
            del self._graphs[oldest]
            oldest.forget_graph()

    def discard(self, *handles: object) -> None:
        """Free these the next time that the context is current."""
        self._discarded.extend(handles)

    def _free(self) -> None:
        while self._discarded:  # what goes may let go of more
            self._discarded.pop()

    def observe_layers(self) -> None:
        assert not self._loaded, "engines that are loaded note nothing"
        self._observed = {}

    def observed_layers(self) -> LayerRuns:
        return {engine: context.runs for engine, context in (self._observed or {}).items()}

    def device_memory(self) -> int | None:
        with self.guarded() as device:
            return device.memory_used()

    def close(self) -> None:
        if self.lost:
            return
        try:
            with self.device.entered():
                self._graphs.clear()
                self._loaded.clear()
                self._observed = None
                self.lanes.clear()
                self._free()
        except DeviceError:
            pass  # it is broken, and given up in any case
        self.device.close()
        self.lost = "the backend was closed"


def _agree(wanted: tuple[int | str, ...], found: tuple[int, ...]) -> bool:
    """Whether two shapes are the same. A named dimension may be any; where an engine leaves one
    open, its profile says what it takes."""
    return len(wanted) == len(found) and all(
        isinstance(w, str) or f in (w, -1) for w, f in zip(wanted, found, strict=True)
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
