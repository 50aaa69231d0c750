"""The interface of an inference backend: buffers in its memory, and programs that run on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError

FLOAT_BYTES = 4


class BackendError(DenetError):
    """A backend that cannot deliver what was asked for; the message says why and what to do."""


class DeviceLostError(BackendError):
    """The device gave up, and with it all buffers and programs: they must be made anew."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """A contiguous float32 array in a backend's memory, addressed by rows of its first axis.

    `address` is a pointer valid on the backend's device; `owner` keeps the memory alive.
    """

    address: int
    shape: tuple[int, ...]
    owner: object

    @property
    def bytes(self) -> int:
        return prod(self.shape) * FLOAT_BYTES

    def rows(self, start: int, count: int) -> Buffer:
        """The rows [start, start + count), in place."""
        if not 0 <= start <= start + count <= self.shape[0]:
            raise IndexError(f"rows {start}:{start + count} of a buffer of {self.shape[0]}")
        row_bytes = prod(self.shape[1:]) * FLOAT_BYTES
        return replace(
            self, address=self.address + start * row_bytes, shape=(count, *self.shape[1:])
        )

    def reshape(self, shape: tuple[int, ...]) -> Buffer:
        """The same memory under another shape of the same size."""
        if prod(shape) != prod(self.shape):
            raise ValueError(f"cannot view {self.shape} as {shape}")
        return replace(self, shape=shape)


@dataclass(frozen=True)
class CopyCall:
    """Copy `source` to `target`, of the same shape."""

    source: Buffer
    target: Buffer


@dataclass(frozen=True)
class EngineCall:
    """Run `engine` on these buffers, each in the shape that the engine is to see."""

    engine: str
    inputs: Mapping[str, Buffer]
    outputs: Mapping[str, Buffer]


ProgramCall = CopyCall | EngineCall


class Span(NamedTuple):  # made between engines: it has to cost nothing
    """When one part of a program ran.

    Attributes:
        kind: "upload", "copy", "engine" or "download".
        name: of the engine; of the kind for anything else.
        lane: the stream it ran on, 0 where there is one.
        start: seconds since the program began.
        stop: likewise.
    """

    kind: str
    name: str
    lane: int
    start: float
    stop: float


@dataclass(frozen=True)
class Trace:
    """One run of a program, taken apart.

    Attributes:
        enqueued: seconds until the host had nothing left to do but wait; None where it computes
            itself.
        seconds: the whole of it.
        spans: its parts, in the order of the program.
    """

    enqueued: float | None
    seconds: float
    spans: tuple[Span, ...]


class LayerRun(NamedTuple):
    """When one layer of an engine ran, as the engine's library tells it.

    Attributes:
        name: of the layer there, which may have been fused of several of the ONNX graph.
        operator: what it does; "" where the library does not say.
        start: seconds since the engine began.
        seconds: that it took.
    """

    name: str
    operator: str
    start: float
    seconds: float


LayerRuns = dict[str, list[tuple[LayerRun, ...]]]
"""By engine, the layers of each of its runs."""


class Program(ABC):
    """Uploads, calls and downloads in a fixed order, on fixed buffers; keeps these alive.

    Attributes:
        uploads: host arrays to fill before each run, in the shapes of the uploaded buffers.
    """

    uploads: tuple[NDArray[np.float32], ...]

    @abstractmethod
    def run(self) -> tuple[NDArray[np.float32], ...]:
        """Run it: the downloaded buffers, valid until the next run of any program.

        Raises:
            DeviceLostError: the device gave up.
            BackendError: it could not run.
        """

    @abstractmethod
    def trace(self) -> Trace:
        """Run it once, slower, and tell when each part ran. Raises: as `run`."""


class Backend(ABC):
    """Runs engines on one device. A backend is used by one thread at a time.

    Attributes:
        name: such as "ort-cpu".
        largest_batch: the most samples that its engines take at once; None for any number.
    """

    name: str
    largest_batch: int | None = None

    @abstractmethod
    def load(self, engine: str) -> None:
        """Make an engine ready; does nothing if it is.

        Raises:
            BackendError: the engine cannot be loaded.
            BundleError: its file is damaged.
        """

    @abstractmethod
    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        """A buffer of `shape`; its content is undefined."""

    @abstractmethod
    def program(
        self, uploads: Sequence[Buffer], calls: Sequence[ProgramCall], downloads: Sequence[Buffer]
    ) -> Program:
        """A program that has the effect of running its parts one after the other; engines that it
        needs are loaded.

        Args:
            uploads: buffers that are sent to the device first.
            calls: what is done with them, in order.
            downloads: buffers that are fetched from it at the end.

        Raises:
            BackendError: an engine cannot be loaded, or does not take such a shape.
        """

    def observe_layers(self) -> None:
        """Have all engines, none of which may be loaded yet, note when each of their layers runs.
        It slows them down, and they may run one at a time: programs are then to be traced.

        Raises:
            BackendError: this backend cannot tell.
        """
        raise BackendError(f"{self.name}: does not tell how long layers take")

    def observed_layers(self) -> LayerRuns:
        """What was noted since `observe_layers`, the runs of an engine in the order in which they
        were made. It ends the observation, and nothing may be run afterwards.

        Raises:
            BackendError: what the library noted cannot be read.
        """
        return {}

    def device_memory(self) -> int | None:
        """Bytes of the device's memory that are in use, by anyone; None for the host's own."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Release engines and memory. The backend cannot be used afterwards."""
