"""What `[boxes]` of a node's configuration says."""

from __future__ import annotations

import msgspec


class BoxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where persons are. Without `file` and `call` each frame is the crop of one.

    Attributes:
        file: JSON lines with the boxes of each frame of a recording.
        call: "module:function" of a Python package that finds them.
        calibration: TOML or JSON file with the size of each modality's frames and its homography.
            Without it all modalities must have frames of one size, and show the same.
    """

    file: str | None = None
    call: str | None = None
    calibration: str | None = None
