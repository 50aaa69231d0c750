"""The benchmark: what each missing state costs on this machine, where the time goes, and how near
it is to what the machine can do.

from runtime.benchmark import BenchmarkRequest, bench

report = bench("model.denet", BenchmarkRequest(parts=("states",)))

The names below are loaded when they are first used: a fresh process that is to be measured imports
a module of this package, and should have no more in memory than a camera node has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from runtime.benchmark.errors import BenchmarkError
    from runtime.benchmark.request import BenchmarkRequest
    from runtime.benchmark.result import BenchmarkReport
    from runtime.benchmark.run import bench

__all__ = ["BenchmarkError", "BenchmarkReport", "BenchmarkRequest", "bench"]

__getattr__ = lazy(
    __name__,
    {
        "BenchmarkError": "runtime.benchmark.errors",
        "BenchmarkReport": "runtime.benchmark.result",
        "BenchmarkRequest": "runtime.benchmark.request",
        "bench": "runtime.benchmark.run",
    },
)
