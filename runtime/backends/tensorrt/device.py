"""What the TensorRT backend needs of a CUDA device, and no more.

`cuda` beside it is the real one; tests have another, which records what it is told. Streams,
events, graphs and pieces of memory are handles that only their device understands. They free what
they stand for when the last reference goes, and that must happen inside `Device.entered`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import BackendError

Handle = Any
Shapes = Mapping[str, tuple[int, ...]]
Addresses = Mapping[str, int]

TellLayer = Callable[[str, float], None]
"""Told the name of a layer, and the seconds that it took."""


class DeviceError(BackendError):
    """CUDA or TensorRT reported an error; the message has its text."""


class CaptureError(BackendError):
    """This work cannot be captured into a graph; it can still be run as it is."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a loaded engine; -1 is a dimension that may vary."""

    is_input: bool
    dtype: str
    shape: tuple[int, ...]


class DeviceContext(ABC):
    """An engine made ready for one shape at a time. One stream at a time may run it."""

    @abstractmethod
    def configure(self, shapes: Shapes, addresses: Addresses, scratch: int) -> None:
        """Set the shape of every input, the address of every tensor, and that of scratch memory."""

    @abstractmethod
    def enqueue(self, stream: Handle) -> None:
        """Queue one run."""

    @abstractmethod
    def observe(self, tell: TellLayer) -> None:
        """From now on let `enqueue` wait until the run is done, and then tell of each of its
        layers, in the order in which they ran."""


class DeviceEngine(ABC):
    """An engine on the device.

    Attributes:
        tensors: its inputs and outputs.
        scratch: bytes of scratch memory that a context of it needs at most.
    """

    tensors: Mapping[str, Tensor]
    scratch: int

    @abstractmethod
    def context(self) -> DeviceContext:
        """A new context, without scratch memory of its own."""

    @abstractmethod
    def inspect(self) -> str:
        """What TensorRT's inspector says of the engine: JSON."""


class Device(ABC):
    """One CUDA device in one context. Every method but `close` is called inside `entered`, and
    raises `DeviceError` where CUDA reports an error.

    Attributes:
        captures: whether work can be captured into graphs.
    """

    captures: bool

    @abstractmethod
    def entered(self) -> AbstractContextManager[None]:
        """Makes the device's context the current one of this thread, and undoes that."""

    @abstractmethod
    def allocate(self, size: int) -> tuple[int, Handle]:
        """`size` bytes of device memory: their address, and what keeps them."""

    @abstractmethod
    def pinned(self, count: int) -> NDArray[np.float32]:
        """A host array that can be copied from and to while the host goes on."""

    @abstractmethod
    def memory_used(self) -> int:
        """Bytes of device memory in use, by anyone."""

    @abstractmethod
    def stream(self) -> Handle:
        """A new stream."""

    @abstractmethod
    def event(self, *, timed: bool = False) -> Handle:
        """A new event."""

    @abstractmethod
    def record(self, event: Handle, stream: Handle) -> None:
        """Queue the event."""

    @abstractmethod
    def wait(self, stream: Handle, event: Handle) -> None:
        """Let what is queued next wait for the event's last record."""

    @abstractmethod
    def seconds(self, first: Handle, last: Handle) -> float:
        """Between two timed events that have happened."""

    @abstractmethod
    def upload(self, address: int, host: NDArray[np.float32], stream: Handle) -> None:
        """Queue a copy from a pinned array."""

    @abstractmethod
    def download(self, host: NDArray[np.float32], address: int, stream: Handle) -> None:
        """Queue a copy to a pinned array."""

    @abstractmethod
    def copy(self, target: int, source: int, size: int, stream: Handle) -> None:
        """Queue a copy within the device."""

    @abstractmethod
    def synchronize(self, stream: Handle) -> None:
        """Wait until a stream is done."""

    @abstractmethod
    def settle(self) -> bool:
        """Wait until the whole context is done; whether it still works."""

    @abstractmethod
    def load(self, content: bytes, name: str, *, host_code: bool) -> DeviceEngine:
        """An engine from its file's content.

        Args:
            content: of the engine file.
            name: of the engine, for messages.
            host_code: it carries a runtime of its own, whose code may run.
        """

    @abstractmethod
    def begin_capture(self, stream: Handle) -> None:
        """From here on, what is queued on the stream, and on those that wait for it, is noted and
        not run. Raises: `CaptureError`."""

    @abstractmethod
    def end_capture(self, stream: Handle) -> Handle:
        """The graph of what was noted. Raises: `CaptureError`."""

    @abstractmethod
    def launch(self, graph: Handle, stream: Handle) -> None:
        """Queue a graph."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the context."""
