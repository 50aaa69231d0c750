"""Faults of sensors, made on purpose and at random, to see what a node makes of them.

from runtime.node.faults import FaultSettings, FaultySource

source = FaultySource(source, FaultSettings(seed=1), notify=print)
"""

from __future__ import annotations

from runtime.node.faults.effects import EFFECTS
from runtime.node.faults.injector import FaultError, FaultSettings, Injector, Truth
from runtime.node.faults.source import FaultySource

__all__ = ["EFFECTS", "FaultError", "FaultSettings", "FaultySource", "Injector", "Truth"]
