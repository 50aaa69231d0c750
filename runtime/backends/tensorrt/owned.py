"""What must be freed where its CUDA context is current, and before that context goes: objects of
TensorRT, PyCUDA and cuda-python, whichever thread lets go of them last, a traceback among them."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray


class OwnedObjects:
    """Those of one context."""

    def __init__(self) -> None:
        self.living: WeakSet[Owned] = WeakSet()
        self.dropped: list[Any] = []

    def free_dropped(self) -> None:
        """Free what nobody refers to any more; the context is current."""
        while self.dropped:  # what goes may let go of more
            self.dropped.pop()

    def release(self, *, broken: bool) -> None:
        """Free everything, whoever still refers to it; the context is current, and goes next.

        Args:
            broken: it has failed: PyCUDA can free nothing then, and says so on standard error for
                each. The driver does when the context is destroyed.
        """
        for owned in sorted(self.living, key=lambda owned: owned.last):
            owned.release(broken=broken)
        if not broken:
            self.free_dropped()


class Owned:
    """One of them. It is freed by `OwnedObjects` once the last reference to this is gone.

    Attributes:
        raw: the object; None once it is freed.
        last: it is to be freed after the others.
    """

    last = False

    def __init__(self, owner: OwnedObjects, raw: Any) -> None:
        self.raw = raw
        self._dropped = owner.dropped
        owner.living.add(self)

    def release(self, *, broken: bool) -> None:  # noqa: ARG002
        """Free it now; it is of no use any more."""
        self.raw = None

    def __del__(self) -> None:
        if self.raw is not None:
            self._dropped.append(self.raw)


class OwnedHandle(Owned):
    """Device memory, a stream or an event of PyCUDA."""

    def release(self, *, broken: bool) -> None:
        if not broken:
            self.raw = None


class PinnedMemory(Owned):
    """Page-locked host memory, from which NumPy makes an array that keeps it."""

    def __init__(self, owner: OwnedObjects, array: NDArray[np.float32]) -> None:
        super().__init__(owner, array)
        self.__array_interface__ = array.__array_interface__

    def release(self, *, broken: bool) -> None:
        """Nothing: whoever has the array may still look at it."""


class OwnedGraph:
    """A graph of cuda-python that can be launched, and that is freed with this."""

    def __init__(self, driver: Any, handle: Any) -> None:
        self._driver, self.handle = driver, handle

    def __del__(self) -> None:
        self._driver.cuGraphExecDestroy(self.handle)
