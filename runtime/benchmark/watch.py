"""The machine that measured, and what disturbed it meanwhile."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import msgspec
import numpy
import PIL

from runtime.backends.onnxruntime.library import ort
from runtime.benchmark import result
from runtime.machine import Machine, limits_in_force, read_machine, throttle_counts

BUSY = 0.5
"""Processes that run or wait, averaged over a minute, from which on a machine was not idle."""


class Watch:
    """The machine, from the making of the watch until it is asked.

    Attributes:
        machine: as it was at first.
    """

    def __init__(self) -> None:
        self.machine: Machine = read_machine()
        self._counts = throttle_counts()
        self._limits = dict.fromkeys(self.machine.limits)

    def look(self) -> None:
        """Remember what slows the machine down at this moment."""
        self._limits |= dict.fromkeys(limits_in_force())

    def snapshot(self) -> result.MachineFacts:
        """What the report says of the machine."""
        self.look()
        machine = self.machine
        board = machine.jetson and machine.jetson.model
        processor = board or machine.cpu.name
        graphics = [] if machine.gpu is None else [machine.gpu.name]
        return result.MachineFacts(
            name=", ".join([processor, *graphics]),
            lines=tuple(machine.describe()),
            facts=msgspec.json.decode(msgspec.json.encode(machine)) | {"versions": versions()},
            counters=tuple(self._counts),
            throttled=slowed(self._counts, throttle_counts(), tuple(self._limits)),
        )

    def busy(self) -> str | None:
        """A sentence where other work ran when the watch was made."""
        if self.machine.load is None or self.machine.load[0] <= BUSY:
            return None
        return (
            f"the machine was busy when this began (load {self.machine.load[0]:.2f}): "
            "let it come to rest and measure again"
        )


def versions() -> dict[str, str]:
    """Of what ran."""
    return {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "onnxruntime": ort.__version__,
        "pillow": PIL.__version__,
    }


def slowed(
    before: Mapping[str, int], after: Mapping[str, int], limits: tuple[str, ...]
) -> str | None:
    """What slowed a machine down; None where no counter grew and no limit was seen.

    Args:
        before: counters of throttling (`machine.throttle_counts`).
        after: the same, later.
        limits: that were seen in force meanwhile.
    """
    grown = [
        f"{name} +{count - before.get(name, 0)}"
        for name, count in after.items()
        if count > before.get(name, 0)
    ]
    return ", ".join((*limits, *grown)) or None
