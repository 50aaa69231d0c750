"""Faults of sensors, made on purpose and at random, to see what a node makes of them.

from runtime.faults import FaultSettings, FaultySource

source = FaultySource(source, FaultSettings(seed=1), record=print)
"""

from __future__ import annotations

from runtime.faults.effects import EFFECTS
from runtime.faults.injector import FaultError, FaultSettings, Injector, Truth
from runtime.faults.source import FaultySource

__all__ = ["EFFECTS", "FaultError", "FaultSettings", "FaultySource", "Injector", "Truth"]
