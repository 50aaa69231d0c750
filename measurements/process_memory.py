"""The memory and the CPU time of a process, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds(process: int | str = "self") -> float:
    """Seconds of CPU that a process has taken, in user and system mode."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional(process: int | str = "self") -> float:
    """MB of memory that a process holds, of what it shares its share (PSS)."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{process}/smaps_rollup: has no Pss")


def resident(process: int | str = "self") -> float:
    """MB of memory that a process holds, its shared pages among them; 0 where it has ended and
    its parent has not waited for it yet."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
