"""What releases of ONNX Runtime cannot do, or do wrongly."""

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
    arm = (machine or platform.machine()).lower() in ARM
    oldest = (1, 23) if arm else (1, 22)
    if not _before(version, oldest):
        return None
    return (
        f"ONNX Runtime {version} cannot run INT8 on {'ARM' if arm else 'this CPU'}: "
        f"install {oldest[0]}.{oldest[1]} or later, or take --precision fp32"
    )


def wrong_optimizers(version: str) -> tuple[str, ...]:
    """The optimizers of a release that may not be used, because they change what a graph computes.

    Before 1.25 a padding with zeros was merged into the average pooling behind it, which then
    counts the zeros no longer: wrong for some of timm's backbones.

    Args:
        version: of ONNX Runtime.
    """
    return ("Pad_Fusion",) if _before(version, (1, 25)) else ()


def _before(version: str, release: tuple[int, int]) -> bool:
    """Whether a version is one before `release`; one that is not written in numbers is not."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < release
