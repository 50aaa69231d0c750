"""The CPU, and the main memory."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import msgspec

from runtime.machine.files import ROOT, number, text
from runtime.machine.share import affinity, default_threads, quota

INSTRUCTIONS = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
}
"""Instructions that matter for matrix products, by their names in /proc/cpuinfo."""

ARM_CORES = {"0xd42": "Cortex-A78AE", "0xd83": "Neoverse-V3AE"}
"""The cores of a Jetson Orin and a Jetson Thor: /proc/cpuinfo has their numbers only."""


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """The processor.

    Attributes:
        model: as it calls itself.
        architecture: such as "x86_64".
        cores: physical ones.
        threads: that the kernel sees.
        allowed: how many of these a container or service may use at a time, where it is limited.
        instructions: of `INSTRUCTIONS`.
        governor: what chooses its clock: "performance", "schedutil", ...
        mhz: the clock of the fastest core now.
        max_mhz: the highest clock there is.
        affinity: on how many of `threads` this process may run.
        default_threads: that a runtime starts where affinity or a quota leaves less than all cores.
    """

    model: str | None
    architecture: str
    cores: int | None
    threads: int | None
    allowed: float | None
    instructions: tuple[str, ...]
    governor: str | None
    mhz: int | None
    max_mhz: int | None
    affinity: int | None = None
    default_threads: int | None = None

    @property
    def name(self) -> str:
        """Its model, or where that is not known its architecture."""
        return self.model or self.architecture

    @property
    def runtime_threads(self) -> int:
        """Threads that a runtime starts by default: one for each core that it may use."""
        return self.default_threads or self.cores or os.cpu_count() or 1


class MachineMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Main memory in bytes: all, what can be had now, and swap."""

    total: int
    available: int
    swap: int


def read_cpu(root: Path = ROOT) -> Cpu:
    """The processor of the machine at `root`."""
    info = text(root / "proc/cpuinfo") or ""
    cpus = root / "sys/devices/system/cpu"
    flags = re.search(r"^(?:flags|Features)\s*: (.+)", info, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    siblings = {text(file) for file in cpus.glob("cpu[0-9]*/topology/thread_siblings_list")}
    governors = {text(file) or "" for file in cpus.glob("cpufreq/policy*/scaling_governor")}
    return Cpu(
        model=_model(info),
        architecture=text(root / "proc/sys/kernel/arch") or platform.machine(),
        cores=len(siblings) or None,
        threads=len(re.findall(r"^processor\s*:", info, re.MULTILINE)) or None,
        allowed=quota(root),
        instructions=tuple(name for flag, name in INSTRUCTIONS.items() if flag in has),
        governor=", ".join(sorted(governors)) or None,
        mhz=_fastest(cpus, "scaling_cur_freq") or _now(info),
        max_mhz=_fastest(cpus, "cpuinfo_max_freq"),
        affinity=None if (mine := affinity(root)) is None else len(mine),
        default_threads=default_threads(root),
    )


def _model(info: str) -> str | None:
    if named := re.search(r"^model name\s*: (.+)", info, re.MULTILINE):
        return named[1]
    part = re.search(r"^CPU part\s*: (\S+)", info, re.MULTILINE)
    return ARM_CORES.get(part[1], f"ARM {part[1]}") if part else None


def _fastest(cpus: Path, file: str) -> int | None:
    clocks = [number(each) or 0 for each in cpus.glob(f"cpufreq/policy*/{file}")]  # kHz
    return max(clocks, default=0) // 1000 or None


def _now(info: str) -> int | None:
    clocks = re.findall(r"^cpu MHz\s*: ([\d.]+)", info, re.MULTILINE)
    return round(max(map(float, clocks))) if clocks else None


def read_memory(root: Path) -> MachineMemory | None:
    """The memory of the machine at `root`."""
    lines = re.findall(r"^(\w+): +(\d+) kB", text(root / "proc/meminfo") or "", re.MULTILINE)
    size = {name: int(kib) * 1024 for name, kib in lines}
    if "MemTotal" not in size:
        return None
    return MachineMemory(
        total=size["MemTotal"], available=size.get("MemAvailable", 0), swap=size.get("SwapTotal", 0)
    )
