"""How long a sensor is mistrusted after a fault."""

from __future__ import annotations

from denet.graph import Modality
from runtime.node.health.verdict import Finding, Verdict


class Probation:
    """Turns findings on single frames into verdicts.

    A fault counts at once. Health counts after as many good frames in a row as the fault lasted,
    but no more than a limit; so a lost frame costs itself alone, and a camera that flickers does
    not come back until it stays.
    """

    def __init__(self, modality: Modality, frames: int) -> None:
        """Make one.

        Args:
            modality: of the verdicts.
            frames: the limit.
        """
        self._frames = frames
        self._bad = self._good = 0
        self._healthy = Verdict(modality, None, "")
        self._last = self._healthy

    def bad(self, finding: Finding) -> Verdict:
        """The verdict on a frame with a fault."""
        self._bad += 1
        self._good = 0
        self._last = Verdict(self._healthy.modality, finding.fault, finding.reason)
        return self._last

    def good(self) -> Verdict:
        """The verdict on a frame without one."""
        if not self._bad:
            return self._healthy
        self._good += 1
        needed = min(self._bad, self._frames)
        if self._good >= needed:
            self._bad = self._good = 0
            self._last = self._healthy
        return self._verdict(needed)

    def unsure(self) -> Verdict:
        """The verdict on a frame that may be a repeat: that of the frame before it."""
        return self._verdict(min(self._bad, self._frames))

    def _verdict(self, needed: int) -> Verdict:
        if self._last.fault is None:
            return self._healthy
        return Verdict(
            self._healthy.modality,
            self._last.fault,
            f"it was {self._last.fault} until just now: {self._good} of {needed} good frames",
        )
