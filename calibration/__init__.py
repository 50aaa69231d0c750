"""From a bundle in FP32 to one in FP16 and INT8 that ranks as well: needs onnx, never torch.

The names below are loaded when they are first used: the command line imports this package before it
knows whether it will calibrate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from calibration.errors import CalibrationError
    from calibration.outcome import Outcome
    from calibration.request import CalibrationRequest
    from calibration.run import calibrate

__all__ = ["CalibrationError", "CalibrationRequest", "Outcome", "calibrate"]

__getattr__ = lazy(
    __name__,
    {
        "CalibrationError": "calibration.errors",
        "CalibrationRequest": "calibration.request",
        "Outcome": "calibration.outcome",
        "calibrate": "calibration.run",
    },
)
