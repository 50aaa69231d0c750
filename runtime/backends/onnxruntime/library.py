"""ONNX Runtime, loaded in this one place, because it has to be kept from reporting to its maker.

From 1.29 on its wheels queue events in the user's cache (an id of the device, the processor, the
path of the interpreter, names of models) and ask for a host that takes them. Whether it may is read
from the environment once, while it is loaded; the environment is left as it was found.
"""

from __future__ import annotations

import os

VARIABLE = "ORT_DISABLE_TELEMETRY"


def _load() -> None:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        import onnxruntime
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    # An application may have loaded it before us.
    onnxruntime.disable_telemetry_events()


_load()

import onnxruntime as ort  # noqa: E402  typed, and loaded by now

__all__ = ["ort"]
