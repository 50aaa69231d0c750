"""The CUDA driver that runs on the host, as a test sees it."""

from __future__ import annotations

import ctypes
from pathlib import Path

TYPES = ("context", "stream", "event", "graph", "exec", "memory", "pinned")
"""Of objects, in the order of `enum type` in host.h."""

OUT_OF_MEMORY = 2
NO_DEVICE = 100
ILLEGAL_ADDRESS = 700
LAUNCH_FAILED = 719
UNKNOWN = 999


class HostDriver:
    """The library at `path`, loaded into this process: whoever asks for `libcuda.so.1` from now
    on, gets this one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        self.library.host_cuda_fail.argtypes = [
            *(ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
        ]
        self.library.host_cuda_delays.argtypes = [ctypes.c_uint64, ctypes.c_uint]
        self.library.host_cuda_calls.restype = ctypes.c_uint64

    def fail(self, name: str, nth: int, code: int, *, lasting: bool = False) -> None:
        """The `nth` call of a function from now on fails, and those behind it if `lasting`.

        Args:
            name: of the function; "*" for any; "work" for what a stream does.
            nth: 1 is the next one.
            code: of the error. Those that break a context break it.
            lasting: whether it goes on failing; if any call is meant, the device is gone.
        """
        self.library.host_cuda_fail(name.encode(), nth, code, int(lasting))

    def lose(self, code: int = UNKNOWN) -> None:
        """The device is gone: every call gives this error."""
        self.library.host_cuda_lose(code)

    def mend(self) -> None:
        """Nothing fails any more."""
        self.library.host_cuda_lose(0)

    def reset(self) -> None:
        """Nothing fails any more, and nothing is left of any context. What ran when a device was
        lost comes to its end first, and lets go of its engine while that device is lost."""
        self.library.host_cuda_reset()
        self.mend()

    def delays(self, seed: int, microseconds: int) -> None:
        """How late streams do their work, at most."""
        self.library.host_cuda_delays(seed, microseconds)

    def calls(self) -> dict[str, int]:
        """How often each function was called."""
        found: dict[str, int] = {}
        tell = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint64)(
            lambda name, count: found.update({name.decode(): count})
        )
        self.library.host_cuda_calls(tell)
        return found

    def live(self) -> dict[str, int]:
        """The objects that there are, by their type; none is left out but types without any."""
        counts = {name: self.library.host_cuda_live(i) for i, name in enumerate(TYPES, 1)}
        return {name: count for name, count in counts.items() if count}

    def violations(self) -> list[str]:
        """What was done that must not be done, since this was last asked."""
        text = ctypes.create_string_buffer(1 << 16)
        self.library.host_cuda_violations(text, ctypes.c_size_t(len(text)))
        return text.value.decode().splitlines()
