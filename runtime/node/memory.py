"""A process that runs for months gives back the memory that it does not use."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable


def give_back() -> None:
    """Collect all garbage, and return free memory to the system where the C library can.

    Left to itself, Python puts full collections off for hours where few objects are in cycles,
    and until then its lists of free tuples grow; and the C library keeps what each thread has
    freed, so that memory grows with each moment that needed more than all before.
    """
    gc.collect()
    if _trim is not None:
        _trim(0)


def _find_trim() -> Callable[[int], int] | None:
    """`malloc_trim` of the GNU C library; other C libraries have no such thing."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows wants a name
        return None
    return found


_trim = _find_trim()
