"""NVIDIA's driver, and what nvidia-smi tells of the GPU."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import msgspec

from runtime.machine.cuda_driver import find_driver
from runtime.machine.files import ask, text
from runtime.machine.gpu import find_gpu

NVIDIA, DISPLAY = "0x10de", "0x03"
"""A PCI vendor, and how the class of a graphics card begins."""

STATE = (
    "driver_version",
    "memory.total",
    "clocks.sm",
    "clocks.max.sm",
    "power.draw",
    "enforced.power.limit",
    "temperature.gpu",
)


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU at a moment, by nvidia-smi; None for what it does not tell, which of a Jetson is most.

    Attributes:
        memory_mib: all its memory.
        mhz: the clock of its multiprocessors.
        max_mhz: the highest there is.
        watts: what it takes.
        watts_limit: the most that it may take.
        celsius: its temperature.
    """

    memory_mib: int | None
    mhz: int | None
    max_mhz: int | None
    watts: float | None
    watts_limit: float | None
    celsius: int | None


def read_gpu_state(root: Path) -> tuple[GpuState | None, str | None]:
    """The state of CUDA's device 0, and the version of the driver, as nvidia-smi tells them."""
    told = query(root, *STATE)
    if not told:
        return None, None

    def value(field: str) -> float | None:
        try:
            return float(told[field])
        except ValueError:  # "[N/A]"
            return None

    def whole(field: str) -> int | None:
        found = value(field)
        return None if found is None else round(found)

    state = GpuState(
        memory_mib=whole("memory.total"),
        mhz=whole("clocks.sm"),
        max_mhz=whole("clocks.max.sm"),
        watts=value("power.draw"),
        watts_limit=value("enforced.power.limit"),
        celsius=whole("temperature.gpu"),
    )
    return state, told["driver_version"]


def query(root: Path, *fields: str) -> dict[str, str]:
    """Fields of nvidia-smi for CUDA's device 0; none where it is not there or knows not all.

    The device is found by its name: nvidia-smi may count in another order than CUDA.
    """
    told = ask(
        root,
        "nvidia-smi",
        f"--query-gpu=name,{','.join(fields)}",
        "--format=csv,noheader,nounits",
    )
    rows = [[value.strip() for value in line.split(",")] for line in (told or "").splitlines()]
    rows = [row for row in rows if len(row) == 1 + len(fields)]
    gpu = find_gpu()
    mine = [row for row in rows if gpu is not None and row[0] == gpu.name] or rows
    return dict(zip(fields, mine[0][1:], strict=True)) if mine else {}


def cuda_version() -> str | None:
    """The CUDA version that the driver is for, such as "12.6"; None without a driver."""
    driver = find_driver()
    version = ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def kernel_driver(root: Path) -> str | None:
    """The version of the driver in the kernel, where it is the one of PCs (and of a Thor)."""
    told = text(root / "proc/driver/nvidia/version") or ""
    version = re.search(r"Kernel Module(?: for \S+)?\s+(\d+\.[\d.]+)", told)
    return version[1] if version else None


def nvidia_card(root: Path) -> bool:
    """Whether a graphics card of NVIDIA is on the PCI bus, with a driver or without."""
    return any(
        text(folder / "vendor") == NVIDIA and (text(folder / "class") or "").startswith(DISPLAY)
        for folder in (root / "sys/bus/pci/devices").glob("*")
    )
