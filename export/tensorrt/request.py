"""What is asked of the process that builds an engine, and what it says."""

from __future__ import annotations

import re

import msgspec

from denet.errors import DenetError
from runtime.backends.tensorrt.files import BuildSpec, Layers
from runtime.bundle.forms import Form
from runtime.bundle.manifest import Engine


class BuildError(DenetError):
    """An engine that was not built; what was built before it stays. The message says why."""


class GraphSource(msgspec.Struct, frozen=True, kw_only=True):
    """A graph of a whole state, to build an engine of instead of an engine of a bundle.

    Attributes:
        path: of the ONNX file.
        signature: what it reads and makes.
        forms: of each engine that it was composed of.
    """

    path: str
    signature: Engine
    forms: dict[str, Form]


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One engine to build.

    Attributes:
        bundle: the path of the bundle that has its ONNX file.
        spec: what it is built from, for and how.
        output: the path to write it to.
        timing_cache: the path of the cache to use and to renew.
        graph: to build instead of an engine of the bundle, which is none then.
    """

    bundle: str
    spec: BuildSpec
    output: str
    timing_cache: str
    graph: GraphSource | None = None


class BuildProgress(msgspec.Struct, frozen=True, tag="progress"):
    """How much of the engine is built, 0 to 1, and what TensorRT is at."""

    done: float
    phase: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It was not built."""

    reason: str


class Built(msgspec.Struct, frozen=True, tag="built"):
    """It was built and written."""

    sha256: str
    bytes: int
    layers: Layers


Event = BuildProgress | Failed | Built


def parse_batch(text: str) -> tuple[int, int, int]:
    """The least, typical and largest batch from "1:4:16".

    Raises:
        BuildError: it is not three counts in that order.
    """
    if not re.fullmatch(r"[0-9]{1,6}:[0-9]{1,6}:[0-9]{1,6}", text):
        raise BuildError(f"--batch {text}: give MIN:OPT:MAX, such as 1:4:16")
    least, typical, most = map(int, text.split(":"))
    if not 1 <= least <= typical <= most:
        raise BuildError(
            f"--batch {text}: MIN must be at least 1, OPT at least MIN, MAX at least OPT"
        )
    return least, typical, most
