"""Which releases of ONNX Runtime compute a bundle's INT8 on a CPU."""

from __future__ import annotations

import platform
import re

ARM = ("aarch64", "arm64")


def why_no_int8(version: str, machine: str | None = None) -> str | None:
    """Why a release cannot run INT8 engines on a CPU; None if it can.

    Edges are `MatMulNBits` of 8 bits, which x86 has since 1.22, and ARM since 1.23.

    Args:
        version: of ONNX Runtime: "1.22.0", "1.20.1+jp6".
        machine: as `platform.machine` tells it; None for this one.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        return None
    arm = (machine or platform.machine()).lower() in ARM
    oldest = (1, 23) if arm else (1, 22)
    if (int(found[1]), int(found[2])) >= oldest:
        return None
    return (
        f"ONNX Runtime {version} cannot run INT8 on {'ARM' if arm else 'this CPU'}: "
        f"install {oldest[0]}.{oldest[1]} or later, or take --precision fp32"
    )
