"""The library of the CUDA driver, which comes with the driver itself; no package is needed."""

from __future__ import annotations

import ctypes


def open_driver() -> ctypes.CDLL:
    """The library, not initialized yet (`cuInit`).

    Raises:
        OSError: there is no driver.
    """
    return ctypes.CDLL("nvcuda.dll" if hasattr(ctypes, "WinDLL") else "libcuda.so.1")


def find_driver() -> ctypes.CDLL | None:
    """The library, as `open_driver`; None where there is no driver."""
    try:
        return open_driver()
    except OSError:
        return None
