"""Embeds samples on disk and writes the embeddings to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denet import outputs
from denet.errors import DenetError
from denet.files import written_whole
from denet.graph import Graph, State
from denet.marks import OutputKind, arrays
from runtime.npz import with_digest
from runtime.runtime import Runtime
from runtime.samples import ImageFiles


class OutputError(DenetError):
    """A file that cannot be written; the message names it."""


EMBEDDINGS = OutputKind(
    ".npz",
    "embeddings are",
    "a file of embeddings",
    arrays("embeddings", "names", "states", "checkpoint", "projection", "precision", "backend"),
    private=True,
)


@dataclass(frozen=True)
class Embedded:
    """Embeddings of samples on disk, one row for each.

    Attributes:
        graph: of the bundle.
        names: of the samples.
        states: in which each was embedded.
        embeddings: (N, dim) float32, as `Runtime.embed_batch` gives them.
        seconds: time from files to embeddings, of all samples in a state together; the first
            batch of a state may include loading its engines.
    """

    graph: Graph
    names: tuple[str, ...]
    states: tuple[State, ...]
    embeddings: NDArray[np.float32]
    seconds: dict[State, float]


def embed_files(
    runtime: Runtime, samples: Sequence[ImageFiles], *, notify: Callable[[int], None]
) -> Embedded:
    """Embed `samples`, each in the state it is in, state by state in batches of `max_batch`.

    Args:
        runtime: a loaded bundle.
        samples: what to embed.
        notify: told how many samples were done since the last call.

    Raises:
        ImageError: an image cannot be read.
    """
    embeddings = np.empty((len(samples), runtime.dim), np.float32)
    seconds: dict[State, float] = {}
    states = tuple(runtime.graph.state(sample.files) for sample in samples)
    for state in runtime.graph.states:
        mine = [i for i, own in enumerate(states) if own == state]
        for start in range(0, len(mine), runtime.max_batch):
            rows = mine[start : start + runtime.max_batch]
            began = time.perf_counter()
            embeddings[rows] = runtime.embed_batch([samples[i].files for i in rows])
            seconds[state] = seconds.get(state, 0.0) + time.perf_counter() - began
            notify(len(rows))
    return Embedded(
        runtime.graph,
        tuple(sample.name for sample in samples),
        states,
        embeddings,
        seconds,
    )


def check_output(out: Path | None) -> None:
    """See that embeddings can be written to `out`, before the work for it is done.

    Raises:
        OutputError: they cannot.
    """
    if out is not None:
        outputs.check_output(out, EMBEDDINGS, OutputError, replace=True)


def save_embeddings(out: Path, result: Embedded, runtime: Runtime) -> None:
    """Write `result` as an npz file, whole, which only its owner may read: it holds people.

    Arrays: `embeddings` (N, dim) float32, `names` and `states` (N,) strings, and, to tell later
    whether two files can be compared, `checkpoint` (the sha256 of the model), `projection` (that of
    what projects its embeddings, or empty), `precision` and `backend`; and `digest`, see
    `runtime.npz`.

    Raises:
        OutputError: it cannot be written.
    """
    content = {
        "embeddings": result.embeddings,
        "names": np.array(result.names),
        "states": np.array([state.name for state in result.states]),
        "checkpoint": np.array(runtime.bundle.manifest.checkpoint_sha256),
        "projection": np.array(runtime.bundle.manifest.projection_digest),
        "precision": np.array(runtime.precision),
        "backend": np.array(runtime.backend),
    }
    with outputs.writing(out, OutputError):
        outputs.check_kept(out, EMBEDDINGS, OutputError, replace=True)
        with written_whole(out, private=True) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **with_digest(content))
