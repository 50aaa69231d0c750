"""The operations of a program on a device: what each touches, and how it is queued."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from denet.graph import Kind, kind_of
from runtime.backends.base import Buffer, CopyCall, EngineCall
from runtime.backends.tensorrt.device import Device, DeviceContext, DeviceEngine, Handle
from runtime.backends.tensorrt.schedule import Range, Work

COSTS: dict[Kind, float] = {"branch": 100.0, "cmft": 12.0, "dem": 3.0}
"""About what engines cost, for the schedule (docs/performance.md has the shares of a branch)."""

TRANSFER_COST = 1.0


class Allocation:
    """A piece of device memory, and the pinned host array that mirrors it, if any.

    Its last reference may go in any thread; what it holds is then put on a list, to be freed where
    the device's context is current.
    """

    def __init__(self, address: int, size: int, handle: Handle, discarded: list[object]) -> None:
        self.address = address
        self.size = size
        self.mirror: NDArray[np.float32] | None = None
        self._handle = handle
        self._discarded = discarded

    def __del__(self) -> None:
        self._discarded.append((self._handle, self.mirror))


@dataclass
class Lane:
    """A stream, and the scratch memory of the engines that run on it: one at a time, so they
    share it."""

    stream: Handle
    scratch: Allocation | None = None


@dataclass(frozen=True)
class LoadedEngine:
    """An engine on the device, with the context that it runs in outside of graphs."""

    engine: DeviceEngine
    context: DeviceContext


class Operation(ABC):
    """One operation of a program.

    Attributes:
        kind: "upload", "copy", "engine" or "download".
        name: of the engine; else the kind.
        work: what it touches.
        scratch: bytes of scratch memory that it needs.
    """

    kind: str
    name: str
    work: Work
    scratch: int = 0

    @abstractmethod
    def enqueue(self, lane: Lane) -> None:
        """Queue it."""

    def for_graph(self) -> Operation:
        """The same, to be captured: with nothing that another run would change."""
        return self


class Transfer(Operation):
    """A copy from or to the host."""

    def __init__(
        self, device: Device, host: NDArray[np.float32], buffer: Buffer, *, up: bool
    ) -> None:
        self.kind = self.name = "upload" if up else "download"
        self.host = host
        self._device, self._buffer, self._up = device, buffer, up
        start = host.ctypes.data
        here, there = Range(start, start + host.nbytes), _range(buffer)
        read, written = (here, there) if up else (there, here)
        self.work = Work((read,), (written,), TRANSFER_COST)

    def enqueue(self, lane: Lane) -> None:
        if self._up:
            self._device.upload(self._buffer.address, self.host, lane.stream)
        else:
            self._device.download(self.host, self._buffer.address, lane.stream)


class CopyOperation(Operation):
    """A copy within the device."""

    kind = name = "copy"

    def __init__(self, device: Device, call: CopyCall) -> None:
        self._device, self._call = device, call
        self.work = Work((_range(call.source),), (_range(call.target),), TRANSFER_COST)

    def enqueue(self, lane: Lane) -> None:
        source, target = self._call.source, self._call.target
        self._device.copy(target.address, source.address, source.bytes, lane.stream)


@dataclass
class EngineOperation(Operation):
    """A run of an engine."""

    call: EngineCall
    loaded: LoadedEngine
    kind: str = field(default="engine", init=False)

    def __post_init__(self) -> None:
        self.name = self.call.engine
        self.scratch = self.loaded.engine.scratch
        tensors = {**self.call.inputs, **self.call.outputs}
        self._shapes = {name: buffer.shape for name, buffer in self.call.inputs.items()}
        self._addresses = {name: buffer.address for name, buffer in tensors.items()}
        self.work = Work(
            tuple(map(_range, self.call.inputs.values())),
            tuple(map(_range, self.call.outputs.values())),
            _cost(self.name),
        )

    def enqueue(self, lane: Lane) -> None:
        scratch = lane.scratch.address if lane.scratch else 0
        self.loaded.context.configure(self._shapes, self._addresses, scratch)
        self.loaded.context.enqueue(lane.stream)

    def for_graph(self) -> Operation:
        engine = self.loaded.engine
        return replace(self, loaded=LoadedEngine(engine, engine.context()))


def _cost(engine: str) -> float:
    try:
        return COSTS[kind_of(engine)]
    except ValueError:  # of no bundle: it stands alone, and nothing runs beside it
        return COSTS["branch"]


def _range(buffer: Buffer) -> Range:
    return Range(buffer.address, buffer.address + buffer.bytes)
