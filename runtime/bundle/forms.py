"""The forms of an engine: its precision, and for INT8 the hardware that it was made for.

The same INT8 is not good everywhere. TensorRT wants symmetric int8 activations; a CPU multiplies
unsigned activations by signed weights, and one without VNNI adds two such products in 16 bits, so
its weights must be held to 7 bits or the sum saturates without a word. So a bundle may hold
several INT8 forms of an engine, and what runs it takes the one that was made for it.
"""

from __future__ import annotations

import platform as system
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Precision = Literal["fp32", "fp16", "int8", "mixed"]
"""What a user asks for; "mixed" is the choice per engine that a calibration made."""

Platform = Literal["vnni", "avx2", "trt"]
"""What INT8 is made for: a CPU that adds products in 32 bits (x86 with VNNI, ARM), an x86 CPU
without VNNI, TensorRT."""

Form = Literal["fp32", "fp16", "int8-vnni", "int8-avx2", "int8-trt"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
FORMS: tuple[Form, ...] = get_args(Form)

INT8: dict[Platform, Form] = {"vnni": "int8-vnni", "avx2": "int8-avx2", "trt": "int8-trt"}

Forms = Mapping[str, Form]
"""The form of each engine."""


def variant(precision: Precision, platform: Platform | None) -> str:
    """The name of a precision on a platform: "fp32", "fp16", "int8-vnni", "mixed-trt"."""
    return precision if precision in ("fp32", "fp16") else f"{precision}-{platform}"


def cpu_platforms() -> tuple[Platform, ...]:
    """What this CPU can run, the best first. One whose features cannot be told counts as one
    without VNNI, whose form runs everywhere."""
    return ("vnni", "avx2") if _adds_in_32_bits() else ("avx2",)


def _adds_in_32_bits() -> bool:
    if system.machine().lower() in ("aarch64", "arm64"):
        return True
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool({"avx512_vnni", "avx_vnni"} & set(flags.split()))
