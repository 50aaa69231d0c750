"""Whether each sensor of a node can be trusted, frame by frame, and the state that is left.

from runtime.node.health import Health

health = Health(["rgb", "nir", "tir"])
assessment = health.judge(triplet, time.monotonic())
print(assessment.state, assessment.reason)
"""

from __future__ import annotations

from runtime.node.health.health import Health
from runtime.node.health.limits import Limits, LimitsError
from runtime.node.health.verdict import FAULTS, Assessment, Fault, Verdict

__all__ = ["FAULTS", "Assessment", "Fault", "Health", "Limits", "LimitsError", "Verdict"]
