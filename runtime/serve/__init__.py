"""A bundle served by NVIDIA Triton to many cameras: the server's side and the client's.

from runtime.serve import RemoteRuntime

with RemoteRuntime.connect("grpc://127.0.0.1:8001") as runtime:
    embedding = runtime.embed({"rgb": "person.jpg", "tir": thermal_array})

The names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from runtime.serve.contract import AwayError, ChangedError, ServeError
    from runtime.serve.remote import RemoteRuntime

__all__ = ["AwayError", "ChangedError", "RemoteRuntime", "ServeError"]

__getattr__ = lazy(
    __name__,
    {
        "AwayError": "runtime.serve.contract",
        "ChangedError": "runtime.serve.contract",
        "RemoteRuntime": "runtime.serve.remote",
        "ServeError": "runtime.serve.contract",
    },
)
