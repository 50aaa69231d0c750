"""The memory of a process, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def resident(process: int | str = "self") -> float:
    """MB of memory that a process holds, its shared pages among them; 0 where it has ended and
    its parent has not waited for it yet."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
