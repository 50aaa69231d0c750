"""What `[boxes]` of a node's configuration says."""

from __future__ import annotations

import msgspec

from runtime.node.boxes.detector.settings import DetectorSettings
from runtime.node.boxes.motion.settings import MotionSettings


class BoxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where persons are. Without `file`, `call`, `detector` and `motion` each frame is the crop
    of one.

    Attributes:
        file: JSON lines with the boxes of each frame of a recording.
        call: "module:function" of a Python package that finds them.
        detector: an ONNX model that finds them.
        motion: they are what moves.
        calibration: TOML or JSON file with the size of each modality's frames and its homography.
            Without it all modalities must have frames of one size, and show the same.
    """

    file: str | None = None
    call: str | None = None
    detector: DetectorSettings | None = None
    motion: MotionSettings | None = None
    calibration: str | None = None

    @property
    def finders(self) -> list[str]:
        """The keys that say how persons are found; more than one contradict each other."""
        keys = ("file", "call", "detector", "motion")
        return [key for key in keys if getattr(self, key) is not None]
