"""What a user asks of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from denet.graph import State
from runtime.benchmark.errors import BenchmarkError

Part = Literal["states", "batches", "stream", "dropout", "start", "images", "limits"]

PARTS: tuple[Part, ...] = get_args(Part)
"""What can be measured, in this order."""

MOST_BATCH = 256


@dataclass(frozen=True)
class BenchmarkRequest:
    """What is to be measured, and how.

    Attributes:
        backends: by name; every one is measured in every precision.
        precisions: by name; others are compared with the first.
        threads: CPU threads, of all variants; None for the runtime's own choice.
        parts: what to measure; None for all that can be measured here.
        rounds: runs of each state, at least.
        batches: of the sweep.
        stream: the states of the stream, at least `stream.SAMPLES`.
        missing_rate: at which they were drawn, for the report.
        seed: with which they were drawn, and of what else is drawn.
        repeats: fresh processes of each kind, and deaths of each camera.
        images: a folder of images to decode; None to draw some.
        monoliths: a folder with a graph of each state, to compare with.
    """

    backends: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    threads: int | None = None
    parts: tuple[Part, ...] | None = None
    rounds: int = 100
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    stream: Sequence[State] = ()
    missing_rate: float = 0.5
    seed: int = 0
    repeats: int = 3
    images: Path | None = None
    monoliths: Path | None = None

    def wants(self, *parts: Part) -> bool:
        """Whether one of `parts` is to be measured."""
        return self.parts is None or bool(set(parts) & set(self.parts))


def read_request(
    *, backend: str, precision: str, parts: str | None, batches: str, **others: Any
) -> BenchmarkRequest:
    """A request from what a user wrote, lists with commas.

    Raises:
        BenchmarkError: a part is unknown, or a batch is no number of samples.
    """
    chosen = None if parts is None else _names(parts)
    for name in chosen or ():
        if name not in PARTS:
            raise BenchmarkError(f"unknown part {name!r}: choose from {', '.join(PARTS)}")
    if chosen == ():
        raise BenchmarkError(f"no part is named: choose from {', '.join(PARTS)}")
    return BenchmarkRequest(
        backends=_names(backend) or ("auto",),
        precisions=_names(precision) or ("auto",),
        parts=None if chosen is None else tuple(p for p in PARTS if p in chosen),
        batches=_sizes(batches),
        **others,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = sorted({int(name) for name in _names(text)})
    except ValueError:
        sizes = []
    if not sizes or not 1 <= sizes[0] <= sizes[-1] <= MOST_BATCH:
        raise BenchmarkError(f"batches {text!r}: write 1,2,4,8,16 (each from 1 to {MOST_BATCH})")
    return tuple(sizes)
