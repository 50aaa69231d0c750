"""`denet doctor`: what this machine has, what can run on it, and what to install for more."""

from __future__ import annotations

from runtime.doctor.diagnosis import Diagnosis, diagnose
from runtime.doctor.report import describe_diagnosis

__all__ = ["Diagnosis", "describe_diagnosis", "diagnose"]
