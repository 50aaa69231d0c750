"""The GPU as a device; PyCUDA is imported when one is opened, and not before."""

from __future__ import annotations

from typing import Any

from runtime.backends.tensorrt.device import Device


def open_gpu(context: Any = "own") -> Device:
    """The GPU.

    Args:
        context: that it works in: a `CudaContext` of `context` beside this.

    Raises:
        BackendError: PyCUDA or the GPU cannot be had.
    """
    from runtime.backends.tensorrt.cuda import CudaDevice

    return CudaDevice(context)
