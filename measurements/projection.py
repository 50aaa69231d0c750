"""Which linear projection ranks best: what `denet project` does, and what else was tried.

    python measurements/projection.py BUNDLE DATA [--dims 512,256,128]

BUNDLE is not projected. Each projection is fitted on the samples that `denet project` takes, and
ranks the identities that it holds out, and then the test split. mAP in per cent: the mean over the
seven states, and over the 49 pairs of a query's state and an entry's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from composed import processor
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.embed import Embeddings, embed_states
from calibration.project import SAMPLES
from calibration.projection import POWERS, principal_axes
from calibration.samples import choose_samples
from denet.data.records import open_data
from denet.evaluate import Split
from denet.testset import all_samples, open_split
from runtime import Runtime
from runtime.head import normalized

Matrix = NDArray[np.float64]
Shorten = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def linear(mean: Matrix, matrix: Matrix) -> Shorten:
    return lambda rows: normalized(((rows - mean) @ matrix).astype(np.float32))


def within_people(embeddings: Matrix, people: NDArray[np.intp]) -> Matrix:
    """What is left of each embedding without the mean of its identity."""
    _, number = np.unique(people, return_inverse=True)
    sums = np.zeros((number.max() + 1, embeddings.shape[1]))
    np.add.at(sums, number, embeddings)
    means: Matrix = sums / np.bincount(number)[:, None]
    return embeddings - means[number]


def projections(
    fitted: Embeddings, people: NDArray[np.intp], dims: list[int]
) -> Iterator[tuple[str, Shorten]]:
    rows = np.concatenate(list(fitted.values())).astype(np.float64)
    mean, nothing = rows.mean(axis=0), np.zeros(rows.shape[1])
    yield f"none ({rows.shape[1]})", lambda e: e
    mirrored = np.concatenate([rows, -rows])  # their mean is zero
    yield f"{dims[0]}, mean kept", linear(nothing, principal_axes(mirrored, dims[0]).axes)
    for dim in dims:
        axes = principal_axes(rows, dim)
        for power in POWERS:
            yield f"{dim}, whitening {power:g}", linear(mean, axes.matrix(power))
    # The others are fitted among all axes that there are, which is quicker and changes nothing.
    variances = np.linalg.eigvalsh((rows - mean).T @ (rows - mean))
    most = int(np.sum(variances > 1e-9 * variances[-1]))
    base = principal_axes(rows, most).axes
    inner = (rows - mean) @ base
    states = np.stack([(made.mean(axis=0) - mean) @ base for made in fitted.values()])
    span = np.linalg.svd(states, full_matrices=False)[2][: len(states) - 1]
    without = np.eye(most) - span.T @ span
    axes = principal_axes(inner @ without, dims[0])
    yield f"{dims[0]}, means of the states out", linear(mean, base @ without @ axes.axes)
    spread = within_people(inner, np.tile(people, len(fitted)))
    values, vectors = np.linalg.eigh(spread.T @ spread / len(spread))
    scale = np.mean(inner**2)
    for shrink in (100, 10, 1):
        weights = (np.maximum(values, 0) / scale + shrink) ** -0.25
        whiten = vectors * weights @ vectors.T
        axes = principal_axes(inner @ whiten, dims[0])
        name = f"{dims[0]}, half whitening within people, shrunk {shrink}"
        yield name, linear(mean, base @ whiten @ axes.axes)


def accuracy(split: Split, made: Embeddings) -> str:
    found = {(q, g): split.rank(made[q], made[g]).map for q in made for g in made}
    same = np.mean([found[s, s] for s in made])
    return f"{same:.2f} / {np.mean(list(found.values())):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--dims", default="512,256,128")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    test = all_samples(open_split(open_data(arguments.data)))
    with Runtime.load(arguments.bundle, precision="fp32", threads=arguments.threads) as runtime:
        samples = choose_samples(runtime.bundle.manifest, arguments.data, None, SAMPLES, 0)
        fitted = embed_states(runtime, samples.calibration.records)
        judged = [
            (Split(records, records), embed_states(runtime, records))
            for records in (samples.judged.records, test)
        ]
        model = runtime.bundle.manifest.model["backbone"]
    people = np.array([r.identity for r in samples.calibration.records])
    table = Table("projection", title=f"{processor()}; {model}, {len(people)} samples fitted")
    for title in ("held-out people", "test split"):
        table.add_column(title, justify="right")
    for name, shorten in projections(fitted, people, list(map(int, arguments.dims.split(",")))):
        cells = [
            accuracy(split, {s: shorten(rows) for s, rows in made.items()})
            for split, made in judged
        ]
        table.add_row(name, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
