"""What several tests of the benchmark need: two states, and one who listens to nothing."""

from __future__ import annotations

from denet.graph import RGB_NIR_TIR

RGB, TIR = RGB_NIR_TIR.parse("rgb"), RGB_NIR_TIR.parse("tir")


def quiet(_: str) -> None:
    """Hears nothing."""
