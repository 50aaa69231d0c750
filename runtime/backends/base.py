"""The interface of an inference backend: buffers in its memory, and engines bound to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError

FLOAT_BYTES = 4

Image = NDArray[np.float32]


class BackendError(DenetError):
    """A backend that cannot deliver what was asked for; the message says why and what to do."""


@dataclass(frozen=True)
class Buffer:
    """A contiguous float32 array in a backend's memory, addressed by rows of its first axis.

    `address` is a pointer valid on the backend's device; `owner` keeps the memory alive.
    """

    address: int
    shape: tuple[int, ...]
    owner: object

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


class Backend(ABC):
    """Runs engines on one device. A backend is used by one thread at a time.

    Work may be queued: what `bind` returns, `copy` and `push` take effect in the order of their
    calls, and are done when `pull` returns.
    """

    name: str

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
    def stage(self, buffer: Buffer) -> NDArray[np.float32]:
        """A host array of the buffer's shape to fill before `push` (the memory itself on a CPU)."""

    @abstractmethod
    def push(self, buffer: Buffer) -> None:
        """Send what was written to `stage(buffer)` to the device."""

    @abstractmethod
    def pull(self, buffer: Buffer) -> NDArray[np.float32]:
        """The buffer's content on the host, once all queued work is done; valid until the next
        call that writes to the buffer."""

    @abstractmethod
    def copy(self, source: Buffer, target: Buffer) -> Callable[[], None]:
        """A function that copies `source` to `target`, of the same shape, and keeps them alive."""

    @abstractmethod
    def bind(
        self, engine: str, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]
    ) -> Callable[[], None]:
        """A function that runs `engine` on these buffers, and keeps them alive.

        The engine is loaded if need be.
        """

    @abstractmethod
    def close(self) -> None:
        """Release engines and memory. The backend cannot be used afterwards."""
