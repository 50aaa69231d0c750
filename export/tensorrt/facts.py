"""What is told of an engine beside it: what it was built of, and how."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

import denet
from export.tensorrt import process
from export.tensorrt.request import BuildProgress, BuildRequest
from runtime.backends.tensorrt.files import EngineFacts
from runtime.bundle.writing import store


def build_engine(request: BuildRequest, notify: Callable[[BuildProgress], None]) -> EngineFacts:
    """Build one engine in a process of its own; what is to be told of it.

    Raises:
        BuildError: it was not built; says why. What was written is not to be used.
    """
    began = time.monotonic()
    built = process.run(request, notify)
    return EngineFacts(
        spec=request.spec,
        sha256=built.sha256,
        bytes=built.bytes,
        layers=built.layers,
        seconds=round(time.monotonic() - began, 3),
        tools={"denet": denet.__version__},
    )


def write_facts(root: Path, name: str, facts: EngineFacts) -> None:
    """Write facts to the file `name` in the folder `root`."""
    store(root, name, msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
