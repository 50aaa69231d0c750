"""What must be freed where its CUDA context is current, and before that context goes: objects of
TensorRT, PyCUDA and cuda-python, whichever thread lets go of them last, a traceback among them."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray


class OwnedObjects:
    """Those of one context.

    Attributes:
        living: those that somebody refers to.
        dropped: the objects that nobody refers to any more, and that are still to be freed: those
            of PyCUDA, which frees nothing in a context that is broken, apart.
    """

    def __init__(self) -> None:
        self.living: WeakSet[Owned] = WeakSet()
        self.dropped: list[Any] = []
        self.dropped_handles: list[Any] = []

    def free_dropped(self) -> None:
        """Free what nobody refers to any more; the context is current."""
        for dropped in (self.dropped, self.dropped_handles):
            while dropped:  # what goes may let go of more
                dropped.pop()

    def release(self, *, broken: bool) -> None:
        """Free everything, whoever still refers to it; the context is current, and goes next.

        Args:
            broken: it has failed. What is PyCUDA's is then left to the driver, which frees it with
                the context; PyCUDA would say on standard error that it cannot.
        """
        for owned in sorted(self.living, key=lambda owned: owned.last):
            if not (broken and isinstance(owned, OwnedHandle)):
                owned.release()
        while self.dropped:
            self.dropped.pop()
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
        self._dropped = self._list_of(owner)
        owner.living.add(self)

    def _list_of(self, owner: OwnedObjects) -> list[Any]:
        return owner.dropped

    def release(self) -> None:
        """Free it now; it is of no use any more."""
        self.raw = None

    def __del__(self) -> None:
        if self.raw is not None:
            self._dropped.append(self.raw)


class OwnedHandle(Owned):
    """Device memory, a stream or an event of PyCUDA."""

    def _list_of(self, owner: OwnedObjects) -> list[Any]:
        return owner.dropped_handles


class PinnedMemory(OwnedHandle):
    """Page-locked host memory, from which NumPy makes an array that keeps it."""

    def __init__(self, owner: OwnedObjects, array: NDArray[np.float32]) -> None:
        super().__init__(owner, array)
        self.__array_interface__ = array.__array_interface__

    def release(self) -> None:
        """Nothing: whoever has the array may still look at it."""


class OwnedGraph:
    """A graph of cuda-python that can be launched, and that is freed with this."""

    def __init__(self, driver: Any, handle: Any) -> None:
        self._driver, self.handle = driver, handle

    def __del__(self) -> None:
        self._driver.cuGraphExecDestroy(self.handle)
