"""What storage costs in mAP, and whether one threshold is one false-match rate.

    python measurements/matching.py BUNDLE DATA [--rates 0.01,0.001] [--splits 10]

All samples of the test split, in all states. Storage: mAP with the gallery's embeddings as they
come out of each storage. False matches: the people are cut in halves at random; scores are measured
on one half, and the rate at which strangers of the other half pass is counted for each of the 49
pairs of states. Beside it stands the rate at one cosine, the one that has the nominal rate over all
pairs of the first half together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from composed import processor
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.embed import Embeddings, embed_states
from calibration.scores import measure_pairs
from denet.data.records import Record, open_data
from denet.evaluate import Split
from denet.graph import State
from denet.testset import all_samples, open_split
from runtime import Runtime
from runtime.gallery import Scores, Space
from runtime.gallery.scores import ScoreTable, rates_for
from runtime.gallery.storage import STORAGES, decode, encode

Pairs = dict[tuple[State, State], NDArray[np.float32]]


def storage_table(made: Embeddings, records: tuple[Record, ...]) -> Table:
    split = Split(records, records)
    count = len(made)
    means = f"mean of {count} states", f"mean of {count**2} pairs"
    table = Table("storage", "bytes", *means, title="mAP, %")
    for storage in STORAGES:
        kept = {
            s: decode(encode(rows, storage), storage, rows.shape[1]) for s, rows in made.items()
        }
        accuracy = {(q, g): split.rank(made[q], kept[g]).map for q in made for g in made}
        table.add_row(
            storage,
            str(len(encode(next(iter(made.values()))[:1], storage)[0])),
            f"{np.mean([accuracy[s, s] for s in made]):.2f}",
            f"{np.mean(list(accuracy.values())):.2f}",
        )
    return table


def strangers(made: Embeddings, records: tuple[Record, ...], chosen: set[int]) -> Pairs:
    """Cosines of different people among the chosen, for each pair of states."""
    rows = [i for i, r in enumerate(records) if r.identity in chosen]
    ids = np.array([records[i].identity for i in rows])
    differ = ids[:, None] != ids
    return {
        (q, g): (made[q][rows] @ made[g][rows].T)[differ if q != g else np.triu(differ)]
        for q in made
        for g in made
    }


def scores_of(
    made: Embeddings, records: tuple[Record, ...], chosen: set[int], space: Space
) -> Scores:
    rows = [i for i, r in enumerate(records) if r.identity in chosen]
    part = tuple(records[i] for i in rows)
    half = {s: vectors[rows] for s, vectors in made.items()}
    table = ScoreTable(
        dim=space.dim,
        checkpoint=space.checkpoint,
        projection=space.projection,
        data="",
        variant="",
        identities=len(chosen),
        rates=tuple(rates_for(len(rows) ** 2).tolist()),
        pairs=measure_pairs(Split(part, part), half, half),
    )
    return Scores(table, "half")


def rates_table(
    made: Embeddings,
    records: tuple[Record, ...],
    space: Space,
    rates: list[float],
    splits: int,
) -> Table:
    people = sorted({r.identity for r in records})
    passed: dict[tuple[float, str], list[float]] = {}
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(people))
        halves = [{people[i] for i in part} for part in np.array_split(order, 2)]
        scores = scores_of(made, records, halves[0], space)
        known = np.concatenate(list(strangers(made, records, halves[0]).values()))
        new = strangers(made, records, halves[1])
        for rate in rates:
            least, cosine = scores.threshold(rate), np.quantile(known, 1 - rate)
            for (q, g), cosines in new.items():
                passed.setdefault((rate, "score"), []).append(
                    float(np.mean(scores.score(q, g, cosines) >= least))
                )
                passed.setdefault((rate, "cosine"), []).append(float(np.mean(cosines >= cosine)))
    title = f"False-match rate of {len(made) ** 2} pairs of states, other half"
    table = Table("nominal rate", "by", title=title)
    for title in ("least", "10 %", "median", "90 %", "most"):
        table.add_column(title, justify="right")
    for (rate, by), found in passed.items():
        levels = np.quantile(found, [0, 0.1, 0.5, 0.9, 1])
        table.add_row(f"{rate:g}", by, *(f"{level:.2g}" for level in levels))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rates", default="0.01,0.001")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    records = all_samples(open_split(open_data(arguments.data)))
    with Runtime.load(arguments.bundle, threads=arguments.threads) as runtime:
        made = embed_states(runtime, records)
        space = Space.of(runtime.bundle.manifest)
        ran = f"{runtime.backend}, {runtime.variant}"
    console = Console(width=120)
    console.print(f"{processor()}; {ran}; {len(records)} samples, {space.describe()}\n")
    console.print(storage_table(made, records))
    rates = [float(rate) for rate in arguments.rates.split(",")]
    console.print(rates_table(made, records, space, rates, arguments.splits))


if __name__ == "__main__":
    main()
