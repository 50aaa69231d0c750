"""From a bundle in FP32 to one in FP16 and INT8 that ranks as well: needs onnx, never torch."""

from __future__ import annotations

from calibration.calibrate import calibrate
from calibration.errors import CalibrationError
from calibration.outcome import Outcome, Request

__all__ = ["CalibrationError", "Outcome", "Request", "calibrate"]
