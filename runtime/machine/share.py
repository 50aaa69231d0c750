"""How much of the processor this process may use: its affinity, and the quotas of its control
groups, as a container, a service or `taskset` sets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runtime.machine.files import ROOT, number, text

ROUNDED_UP = 0.2
"""Part of a CPU for which one more thread is worth it. More threads than the quota has CPUs use it
up early in each period, and then all of them stand still until the next."""


def affinity(root: Path = ROOT) -> frozenset[int] | None:
    """The processors, by number, on which this process may run; None if that is not told."""
    told = text(root / "proc/self/status") or ""
    listed = re.search(r"^Cpus_allowed_list:\s*([\d,-]+)$", told, re.MULTILINE)
    if listed is None:
        return None
    found: set[int] = set()
    for part in listed[1].split(","):
        first, _, last = part.partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found) or None


def quota(root: Path = ROOT) -> float | None:
    """CPUs that this process's control groups may use at a time, the least of all that are around
    it; None where none is limited."""
    limits = [limit for folder in _groups(root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def default_threads(root: Path = ROOT) -> int | None:
    """Threads that are worth starting where affinity or a quota leaves less than the machine has;
    None where they leave all of it."""
    mine, allowed = affinity(root), quota(root)
    cpus = root / "sys/devices/system/cpu"
    all_cores = {text(file) for file in cpus.glob("cpu[0-9]*/topology/thread_siblings_list")}
    cores = len(all_cores)
    if mine is not None:
        # Two threads of one core count once: they share what multiplies.
        siblings = (text(cpus / f"cpu{n}/topology/thread_siblings_list") or str(n) for n in mine)
        cores = len(set(siblings))
    bounds = [cores] if cores and cores < len(all_cores) else []
    if allowed is not None and (not cores or allowed < cores):
        bounds.append(max(1, int(allowed + ROUNDED_UP)))
    return min(bounds, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups around this process, of version 1 and 2."""
    cgroup = root / "sys/fs/cgroup"
    for line in (text(root / "proc/self/cgroup") or "0::/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mounts = [cgroup, cgroup / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [cgroup / controllers, cgroup / "cpu", cgroup / "cpu,cpuacct"]
        else:
            continue
        # In a container the path may be the host's, and what is mounted the container's own.
        inner = Path(path.lstrip("/"))
        for mount in mounts:
            for part in (inner, *inner.parents):
                if ".." not in part.parts:
                    yield mount / part


def _limit(folder: Path) -> float | None:
    """Microseconds of CPU in each period, divided by the period; "max" and -1 are no limit."""
    both = re.match(r"(\d+) (\d+)", text(folder / "cpu.max") or "")
    if both is not None:
        most, period = int(both[1]), int(both[2])
    else:
        most = number(folder / "cpu.cfs_quota_us") or -1
        period = number(folder / "cpu.cfs_period_us") or 0
    return most / period if most > 0 and period > 0 else None
