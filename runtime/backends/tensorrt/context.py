"""The CUDA context that the TensorRT backend works in: made current, left, and given back.

PyCUDA keeps a stack of contexts for each thread beside the driver's, and ends the process where one
is left on it. What follows from that, and from the threads that it ties contexts to, is here.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Literal

from runtime.machine.cuda_driver import open_driver

CudaContext = Literal["own", "primary"] | Any
"""A context of the backend's own; the device's primary one, which PyTorch, CuPy, ONNX Runtime and
the CUDA runtime use; or a `pycuda.driver.Context` that the application has made."""

DEVICE = 0


class HeldContext:
    """A context that any thread may enter, one at a time. Its methods raise PyCUDA's errors.

    Args:
        cuda: the module `pycuda.driver`.
        context: which one.
    """

    def __init__(self, cuda: Any, context: CudaContext) -> None:
        self._cuda = cuda
        self._kind = context if isinstance(context, str) else "given"
        if context == "own":
            # Waiting blocks instead of spinning: a node's CPU has other work.
            self._context = cuda.Device(DEVICE).make_context(cuda.ctx_flags.SCHED_BLOCKING_SYNC)
            self.leave()
        elif context == "primary":
            self._context = cuda.Device(DEVICE).retain_primary_context()
        else:
            self._context = context

    def enter(self) -> None:
        """Make it this thread's current one."""
        self._context.push()

    def leave(self) -> None:
        """Make the one current that was before. Any call may tell of an error of earlier work, and
        a context that stays on PyCUDA's stack ends the process: so it is tried again."""
        try:
            self._cuda.Context.pop()
        except self._cuda.Error:
            self._cuda.Context.pop()
            raise

    def give_back(self) -> None:
        """Destroy it, or let go of it. In whichever thread: PyCUDA's own way does nothing in one
        that did not make the context, and leaves a primary one current in the one that did."""
        if self._kind == "own":
            try:
                self.enter()
            finally:
                self._context.detach()  # where it is current, in any thread
        elif self._kind == "primary":
            # PyCUDA forgets it; the driver counts who retains it, and is told by us.
            forgetting = threading.Thread(target=self._context.detach)
            forgetting.start()
            forgetting.join()
            driver, device = open_driver(), ctypes.c_int()
            if driver.cuDeviceGet(ctypes.byref(device), DEVICE) == 0:
                driver.cuDevicePrimaryCtxRelease_v2(device)
        self._cuda.Context.get_current()  # takes off this thread's stack what is no more
