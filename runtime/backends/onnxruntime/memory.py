"""Memory of a device, by address: allocation, and copies to, from and within it."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import FLOAT_BYTES, BackendError, Buffer
from runtime.machine.cuda_driver import open_driver


class DeviceMemory(ABC):
    """float32 buffers of one device."""

    @abstractmethod
    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        """A buffer of `shape`; its content is undefined."""

    @abstractmethod
    def stage(self, buffer: Buffer) -> NDArray[np.float32]:
        """A host array of the buffer's shape to fill before `push` (the memory itself on a CPU)."""

    @abstractmethod
    def push(self, buffer: Buffer) -> Callable[[], None]:
        """A function that sends what was written to `stage(buffer)` to the device."""

    @abstractmethod
    def pull(self, buffer: Buffer) -> Callable[[], NDArray[np.float32]]:
        """A function that gives the buffer's content on the host, valid until something writes to
        the buffer."""

    @abstractmethod
    def copy(self, source: Buffer, target: Buffer) -> Callable[[], None]:
        """A function that copies `source` to `target`, of the same shape, and keeps them alive."""


class HostMemory(DeviceMemory):
    """The CPU's own memory: staging is the buffer itself, and nothing is sent anywhere."""

    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        array = np.empty(shape, np.float32)
        return Buffer(array.ctypes.data, shape, array)

    def stage(self, buffer: Buffer) -> NDArray[np.float32]:
        return _array_over(buffer)

    def push(self, buffer: Buffer) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None

    def pull(self, buffer: Buffer) -> Callable[[], NDArray[np.float32]]:
        array = _array_over(buffer)
        return lambda: array

    def copy(self, source: Buffer, target: Buffer) -> Callable[[], None]:
        return partial(np.copyto, self.stage(target), self.stage(source))


class CudaMemory(DeviceMemory):
    """Memory of CUDA device 0 in its primary context, through the driver's own library.

    The primary context is the one that ONNX Runtime and PyTorch use, so their addresses and
    these are the same. Copies wait for their end (`cuMemcpy`, directions told by the address).
    """

    def __init__(self) -> None:
        try:
            self._driver = open_driver()
        except OSError as error:
            raise BackendError(f"the CUDA driver cannot be loaded: {error}") from None
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._context = context
        self._staging: dict[tuple[int, tuple[int, ...]], NDArray[np.float32]] = {}

    def allocate(self, shape: tuple[int, ...]) -> Buffer:
        address = ctypes.c_uint64()
        self._enter()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(_bytes(shape)))
        return Buffer(address.value, shape, _Allocation(self, address.value))

    def stage(self, buffer: Buffer) -> NDArray[np.float32]:
        key = buffer.address, buffer.shape
        if key not in self._staging:
            self._staging[key] = np.empty(buffer.shape, np.float32)
        return self._staging[key]

    def push(self, buffer: Buffer) -> Callable[[], None]:
        staged = self.stage(buffer)
        return lambda: self._copy(buffer.address, staged.ctypes.data, buffer.shape)

    def pull(self, buffer: Buffer) -> Callable[[], NDArray[np.float32]]:
        def pulled() -> NDArray[np.float32]:
            host = np.empty(buffer.shape, np.float32)
            self._copy(host.ctypes.data, buffer.address, buffer.shape)
            return host

        return pulled

    def copy(self, source: Buffer, target: Buffer) -> Callable[[], None]:
        return lambda: self._copy(target.address, source.address, source.shape)

    def free(self, address: int) -> None:
        self._enter()
        self._call("cuMemFree_v2", ctypes.c_uint64(address))
        self._staging = {key: array for key, array in self._staging.items() if key[0] != address}

    def _copy(self, target: int, source: int, shape: tuple[int, ...]) -> None:
        self._enter()
        self._call(
            "cuMemcpy",
            ctypes.c_uint64(target),
            ctypes.c_uint64(source),
            ctypes.c_size_t(_bytes(shape)),
        )

    def _enter(self) -> None:
        # A context is current per thread, and a runtime may be called from any thread.
        self._call("cuCtxSetCurrent", self._context)

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise BackendError(f"CUDA: {function}: {(text.value or b'unknown error').decode()}")


class _Allocation:
    """Frees device memory when the last buffer that views it is gone."""

    def __init__(self, memory: CudaMemory, address: int) -> None:
        self._memory = memory
        self._address = address

    def __del__(self) -> None:
        # At interpreter exit the driver may be gone already; then the memory is, too.
        try:
            self._memory.free(self._address)
        except Exception:
            return


def _bytes(shape: tuple[int, ...]) -> int:
    return prod(shape) * FLOAT_BYTES


def _array_over(buffer: Buffer) -> NDArray[np.float32]:
    """The buffer's host memory as an array, which keeps that memory alive."""
    whole = buffer.owner
    assert isinstance(whole, np.ndarray)
    return np.ndarray(buffer.shape, np.float32, whole, buffer.address - whole.ctypes.data)
