"""A process that runs for months keeps its memory together, and gives back what it does not use."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable

ARENA_MAX = -8
"""`M_ARENA_MAX` of the GNU C library's malloc.h."""


def share_one_arena() -> None:
    """Let all threads that start from now on take memory from one place, with the GNU C library.

    Left to itself, it gives each thread a place (arena) of its own. What one thread frees no other
    can use, and each place grows for hours to hold its own worst moment. Whoever has set
    MALLOC_ARENA_MAX knows better.
    """
    if _mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        _mallopt(ARENA_MAX, 1)


def give_back() -> None:
    """Collect all garbage, and return free memory to the system where the C library can.

    Left to itself, Python puts full collections off for hours where few objects are in cycles,
    and until then its lists of free tuples grow; and the C library keeps what has been freed, so
    that memory grows with each moment that needed more than all before.
    """
    gc.collect()
    if _trim is not None:
        _trim(0)


def _find(name: str) -> Callable[..., int] | None:
    """A function of the C library; some have neither of the two."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # TypeError: Windows wants a name
        return None
    return found


_trim = _find("malloc_trim")
_mallopt = _find("mallopt")
