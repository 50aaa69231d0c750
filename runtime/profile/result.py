"""The report of a profile, as it stands in its JSON file.

`docs/profile.schema.json` is made from these classes. Times are milliseconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from denet.marks import OutputKind, document
from runtime.benchmark.costs import Breakdown, Strict
from runtime.benchmark.result import MachineFacts, Measured

FORMAT = "denet-profile"

PROFILE = OutputKind(".json", "a profile is", "a profile of denet", document(FORMAT))
"""The file of a report."""


class LayerCost(Strict, frozen=True):
    """One layer of an engine.

    Attributes:
        name: that the library which runs it gives it: often of several ONNX nodes, fused.
        operator: what it does; "" where the library does not say.
        weights: the name of its weights, which says where in the network it is; "" without any, or
            where the package onnx is not installed.
        ms: its median.
        share: of the time of the engine's layers.
    """

    name: str
    operator: str
    weights: str
    ms: float
    share: float


class EngineLayers(Strict, frozen=True):
    """The layers of an engine in a state, in the order in which they ran.

    Attributes:
        form: the precision of the engine, and what that was made for.
        ms: the engine with all its layers observed; what it takes unobserved is in the breakdown.
        layers: of it.
    """

    form: str
    ms: float
    layers: tuple[LayerCost, ...]


class StateProfile(Strict, frozen=True):
    """One batch in a state.

    Attributes:
        breakdown: where the time goes, engine by engine, of runs that nothing but a clock observed.
        engines: the layers of each engine.
    """

    breakdown: Breakdown
    engines: dict[str, EngineLayers]


class LayerError(Strict, frozen=True):
    """What quantizing one layer does to embeddings, everything else left in FP32.

    An error is one minus the mean cosine to the embedding of FP32.

    Attributes:
        engine: that has the layer.
        layer: the ONNX node.
        operator: of the node.
        weights: the name of its weights, which says where in the network it is; "" without any.
        error: the greatest of `states`.
        states: the error in each state that runs the engine.
    """

    engine: str
    layer: str
    operator: str
    weights: str
    error: float
    states: dict[str, float]


class ErrorReport(Strict, frozen=True):
    """Which layers INT8 costs most in.

    Attributes:
        variant: whose engines were looked at.
        images: what was embedded: a folder, or the bundle's golden inputs.
        samples: how many.
        whole: the error of the variant, by state.
        engines: the error of one engine in its form and all others in FP32, by engine and state.
        layers: of all engines, the costliest first.
    """

    variant: str
    images: str
    samples: int
    whole: dict[str, float]
    engines: dict[str, dict[str, float]]
    layers: tuple[LayerError, ...]


class ProfileReport(Strict, frozen=True):
    """What a profile found.

    Attributes:
        made: when, in UTC.
        version: of denet.
        bundle: that was profiled.
        machine: where.
        backend: that ran it.
        precision: with what INT8 was made for: "int8-vnni".
        reason: why this backend.
        threads: CPU threads; None for the runtime's own choice.
        batch: samples at once.
        rounds: runs of each state, of each kind.
        states: by state.
        errors: None where they were not asked for.
        notes: what a person should know.
    """

    format: Literal["denet-profile"]
    schema: Literal[1]
    made: str
    version: str
    bundle: Measured
    machine: MachineFacts
    backend: str
    precision: str
    reason: str
    threads: int | None
    batch: int
    rounds: int
    states: dict[str, StateProfile]
    errors: ErrorReport | None = None
    notes: tuple[str, ...] = ()


def encode(report: ProfileReport) -> bytes:
    """The report as JSON for a file."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def schema() -> bytes:
    """The JSON schema of a report's file."""
    found = msgspec.json.encode(msgspec.json.schema(ProfileReport))
    return msgspec.json.format(found, indent=2) + b"\n"
