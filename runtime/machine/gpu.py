"""The GPU of this machine, as the CUDA driver describes it; no package is needed for that."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from runtime.machine.cuda_driver import find_driver

COMPUTE_CAPABILITY = 75, 76
MULTIPROCESSORS = 16
INTEGRATED = 18
"""Of the driver's `CUdevice_attribute`."""

NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    Attributes:
        name: such as "NVIDIA GeForce RTX 4090", or "Orin", which several Jetsons are called.
        compute_capability: such as (8, 7).
        multiprocessors: how many it has; tells those Jetsons apart.
        integrated: whether it shares the memory of the CPU, as a Jetson's does.
    """

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    integrated: bool


def find_gpu() -> Gpu | None:
    """CUDA device 0; None where there is no driver or no device."""
    driver = find_driver()
    device = ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(NAME_BYTES)
    if driver.cuDeviceGetName(name, NAME_BYTES, device):
        return None

    def attribute(which: int) -> int:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    major, minor = map(attribute, COMPUTE_CAPABILITY)
    return Gpu(
        name=name.value.decode(errors="replace").strip(),
        compute_capability=(major, minor),
        multiprocessors=attribute(MULTIPROCESSORS),
        integrated=bool(attribute(INTEGRATED)),
    )
