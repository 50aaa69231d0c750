"""What can be wrong with a calibration."""

from __future__ import annotations

from denet.errors import DenetError


class CalibrationError(DenetError):
    """A calibration that did not happen; the bundle is as it was. The message says why."""
