"""From a bundle in FP32 to one in FP16 and INT8 that ranks as well: needs onnx, never torch.

The names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibration.errors import CalibrationError
    from calibration.outcome import Outcome, Request
    from calibration.run import calibrate

__all__ = ["CalibrationError", "Outcome", "Request", "calibrate"]

_HOMES = {
    "CalibrationError": "errors",
    "Outcome": "outcome",
    "Request": "outcome",
    "calibrate": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
