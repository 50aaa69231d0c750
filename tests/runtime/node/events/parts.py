"""What tests of events share."""

from __future__ import annotations

from runtime.node.events import (
    Event,
)

MB = 1_000_000


def event(number: int, size: int = 0) -> Event:
    return Event(
        id=f"gate-1-{number}", node="gate", time=float(number), kind="notice", reason="x" * size
    )
