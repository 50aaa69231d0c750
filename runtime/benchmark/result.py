"""The report of a benchmark, as it stands in its JSON file.

`docs/benchmark.schema.json` is made from these classes and those of `runtime.benchmark.costs`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from denet.marks import OutputKind, document
from runtime.benchmark.costs import (
    BatchCost,
    DropoutCost,
    EngineCost,
    ImageCost,
    MonolithCost,
    Roofs,
    StartCost,
    StateCost,
    StreamCost,
    Strict,
)
from runtime.benchmark.stats import Timing

FORMAT = "denet-benchmark"
SCHEMA = 1

RESULT = OutputKind(".json", "a report is", "a report of `denet bench`", document(FORMAT))
"""The file of a report."""


class Measured(Strict, frozen=True):
    """The bundle that was measured; `bytes` are of all its files, in every precision it has."""

    path: str
    bytes: int
    checkpoint_sha256: str
    backbone: str
    height: int
    width: int
    dim: int


class Settings(Strict, frozen=True):
    """How it was measured.

    Attributes:
        parts: what was measured.
        threads: CPU threads; None for the runtime's own choice.
        rounds: runs of each state that were timed, at least.
        batches: of the sweep.
        missing_rate: of the stream.
        seed: of the stream's states and of what is drawn.
        repeats: fresh processes of each kind, and deaths of each camera.
        images: what was decoded: a folder, or that it was drawn.
    """

    parts: tuple[str, ...]
    threads: int | None
    rounds: int
    batches: tuple[int, ...]
    missing_rate: float
    seed: int
    repeats: int
    images: str


class MachineFacts(Strict, frozen=True):
    """Where it was measured.

    Attributes:
        name: the processor or board: reports of other names are of other machines.
        lines: what a person should know of it.
        facts: all that is known of it, and the versions of what ran.
        counters: of slowing down, that the machine has; without any, silence proves nothing.
        throttled: what slowed it down meanwhile; None where nothing was seen to.
    """

    name: str
    lines: tuple[str, ...]
    facts: dict[str, Any]
    counters: tuple[str, ...]
    throttled: str | None


class Variant(Strict, frozen=True):
    """A backend in a precision. What was not measured is empty.

    Attributes:
        backend: its name.
        precision: with what INT8 was made for: "int8-vnni".
        reason: why this one was taken.
        bytes: of its engines.
        states: by state.
        engines: by engine.
        batches: by state and batch.
        stream: in mixed states.
        dropouts: by the modality that is lost.
        starts: by the state that is prepared, or "all" and "all, batch 16".
        end_to_end: by state: one sample from the bytes of its image files to its embedding.
        monoliths: by state.
    """

    backend: str
    precision: str
    reason: str
    bytes: int
    states: dict[str, StateCost] = msgspec.field(default_factory=dict)
    engines: dict[str, EngineCost] = msgspec.field(default_factory=dict)
    batches: dict[str, dict[int, BatchCost]] = msgspec.field(default_factory=dict)
    stream: StreamCost | None = None
    dropouts: dict[str, DropoutCost] = msgspec.field(default_factory=dict)
    starts: dict[str, StartCost] = msgspec.field(default_factory=dict)
    end_to_end: dict[str, Timing] = msgspec.field(default_factory=dict)
    monoliths: dict[str, MonolithCost] = msgspec.field(default_factory=dict)


class BenchmarkReport(Strict, frozen=True):
    """What a benchmark found.

    Attributes:
        made: when, in UTC.
        version: of denet.
        variants: by name; others are compared with the first.
        images: preprocessing, which is the same for all.
        roofs: the machine's limits, by backend.
        notes: what a person should know, noise first.
    """

    format: Literal["denet-benchmark"]
    schema: Literal[1]
    made: str
    version: str
    bundle: Measured
    settings: Settings
    machine: MachineFacts
    variants: dict[str, Variant]
    images: ImageCost | None = None
    roofs: dict[str, Roofs] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def encode(report: BenchmarkReport) -> bytes:
    """The report as JSON for a file."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def schema() -> bytes:
    """The JSON schema of a report's file."""
    return (
        msgspec.json.format(msgspec.json.encode(msgspec.json.schema(BenchmarkReport)), indent=2)
        + b"\n"
    )
