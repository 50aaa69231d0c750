"""The machine that runs, as far as it matters for what runs on it and how fast.

Everything is read from files of the kernel and from NVIDIA's tools where they are; no package is
needed, nothing is changed, nothing fails, and what cannot be told is None. All readers take the
root of the file system, so that a test can give them another machine's files. The CUDA driver is
asked for the GPU of the machine that runs, whatever that root is.

Of the files, those of x86 PCs were read on one. Where a Jetson has its own, and what their numbers
mean, is from NVIDIA's and the kernel's documentation, and from what jetson_stats (jtop) reads:
nothing was run on a Jetson.
"""

from __future__ import annotations

from runtime.machine.facts import Machine, read_machine
from runtime.machine.power import PowerMeter, module_total
from runtime.machine.processor import read_cpu
from runtime.machine.share import default_threads
from runtime.machine.throttling import limits_in_force, throttle_counts

__all__ = [
    "Machine",
    "PowerMeter",
    "default_threads",
    "limits_in_force",
    "module_total",
    "read_cpu",
    "read_machine",
    "throttle_counts",
]
