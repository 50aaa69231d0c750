"""The benchmark: what each missing state costs on this machine, where the time goes, and how near
it is to what the machine can do.

from runtime.benchmark import BenchmarkRequest, bench

report = bench("model.denet", BenchmarkRequest(parts=("states",)))

The names below are loaded when they are first used: a fresh process that is to be measured imports
a module of this package, and should have no more in memory than a camera node has.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.benchmark.errors import BenchmarkError
    from runtime.benchmark.request import BenchmarkRequest
    from runtime.benchmark.result import BenchmarkReport
    from runtime.benchmark.run import bench

__all__ = ["BenchmarkError", "BenchmarkReport", "BenchmarkRequest", "bench"]

_HOMES = {
    "BenchmarkError": "errors",
    "BenchmarkReport": "result",
    "BenchmarkRequest": "request",
    "bench": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
