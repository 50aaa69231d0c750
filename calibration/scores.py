"""Measures how often strangers reach a cosine, for each state of a query and of an entry.

The samples are those of an evaluation: people that the network was not trained on, since those that
it was trained on are told apart too well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.embed import embed_states
from calibration.errors import CalibrationError
from calibration.write import AS_IT_WAS, check_in_place
from denet.data.records import Record, open_data
from denet.evaluate import Split
from denet.files import replaced_folder
from denet.graph import Graph, State
from denet.marks import OutputKind, document
from denet.outputs import check_output, write_output, writing
from denet.testset import all_samples, open_split
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BUILT
from runtime.bundle.writing import link, link_folder, store, store_manifest
from runtime.gallery.scores import (
    LEAST_ERRORS,
    Pair,
    Scores,
    ScoreTable,
    carried_scores,
    rates_for,
    scores_text,
)
from runtime.gallery.space import Space
from runtime.runtime import Runtime

SCORES = OutputKind(
    ".json", "scores are", "a file of scores", document("denet-scores"), private=True
)

PATH = "scores.json"
"""Of the scores that a bundle carries."""


def measure_scores(
    runtime: Runtime, data: Path, notify: Callable[[int, int], None] = lambda *_: None
) -> Scores:
    """Measure scores on the test split of `data`.

    Args:
        runtime: a loaded bundle, in the precision that will run.
        data: a data set.
        notify: told how many samples are done, and of how many.

    Raises:
        CalibrationError: there are too few people.
        DataError: the data cannot be used.
    """
    split = open_split(open_data(data))
    records = all_samples(split)
    states = _common_states(runtime.graph, records, data)
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        notify(done, len(records))

    made = embed_states(runtime, records, states, count)
    queries = {state: rows[: len(split.query)] for state, rows in made.items()}
    gallery = {state: rows[-len(split.gallery) :] for state, rows in made.items()}
    space = Space.of(runtime.bundle.manifest)
    table = ScoreTable(
        dim=space.dim,
        checkpoint=space.checkpoint,
        projection=space.projection,
        data=os.fsencode(data).decode(errors="replace"),
        variant=runtime.variant,
        identities=len({r.identity for r in records}),
        rates=tuple(rates_for(len(split.query) * len(split.gallery)).tolist()),
        pairs=measure_pairs(split, queries, gallery),
    )
    return Scores(table, "scores")


def check_scores_file(out: Path) -> None:
    """See that scores can be written to `out`, before the work for it is done.

    Raises:
        CalibrationError: they cannot.
    """
    check_output(out, SCORES, CalibrationError, replace=True)


def write_scores(scores: Scores, out: Path) -> None:
    """Write scores to a file, as JSON.

    Raises:
        CalibrationError: it cannot be written.
    """
    write_output(out, scores_text(scores.table), SCORES, CalibrationError)


def put_scores(bundle: Bundle, scores: Scores) -> Bundle:
    """Replace `bundle` by one that carries `scores`, too, in the place of those that it has.

    Raises:
        CalibrationError: it cannot be written; the bundle is as it was.
    """
    old = bundle.manifest.scores
    with (
        writing(bundle.root, CalibrationError, AS_IT_WAS),
        replaced_folder(bundle.root, partial(check_in_place, bundle.root)) as root,
    ):
        for file in set(bundle.manifest.files()):
            if file != old:
                link(bundle.root, root, file)
        link_folder(bundle.root / BUILT, root / BUILT)
        file = store(root, PATH, scores_text(scores.table))
        store_manifest(root, msgspec.structs.replace(bundle.manifest, scores=file))
        carried_scores(Bundle.open(root))  # refuses those of another model
        Bundle.open(root).verify()
    return Bundle.open(bundle.root)


def measure_pairs(
    split: Split,
    queries: dict[State, NDArray[np.float32]],
    gallery: dict[State, NDArray[np.float32]],
) -> dict[str, dict[str, Pair]]:
    """The impostors and genuine pairs of each state of a query with each of an entry.

    Different identities are impostors, the same camera or not. Genuine pairs are those that an
    evaluation counts: one identity, two cameras.

    Args:
        split: the records.
        queries: their embeddings in each state.
        gallery: likewise.

    Raises:
        CalibrationError: there are too few impostors.
    """
    ids = [np.array([r.identity for r in side]) for side in (split.query, split.gallery)]
    cameras = [np.array([r.camera for r in side]) for side in (split.query, split.gallery)]
    strangers = ids[0][:, None] != ids[1]
    genuine = ~strangers & (cameras[0][:, None] != cameras[1])
    if np.sum(strangers) < 2 * LEAST_ERRORS:
        raise CalibrationError(
            f"{int(np.sum(strangers))} pairs of different people: a false-match rate takes at "
            f"least {2 * LEAST_ERRORS} to be told: give more people"
        )
    pairs: dict[str, dict[str, Pair]] = {}
    for query, entry in product(queries, gallery):
        cosines = queries[query] @ gallery[entry].T
        # Two samples that are both query and entry, in one state, make one pair and not two.
        once = split.query == split.gallery and query == entry
        counted = np.triu(np.ones_like(strangers)) if once else np.ones_like(strangers)
        pairs.setdefault(query.name, {})[entry.name] = measure_pair(
            cosines[strangers & counted], cosines[genuine & counted]
        )
    return pairs


def measure_pair(impostors: NDArray[np.float32], genuine: NDArray[np.float32]) -> Pair:
    """What cosines of impostors and of genuine pairs tell: at each rate, the least cosine that no
    greater share of the impostors reaches, and the share of the genuine that reaches it."""
    falling = -np.sort(-impostors)
    counts = np.floor(rates_for(len(falling)) * len(falling) + 1e-9).astype(np.intp)
    least = falling[counts - 1]
    rising = np.sort(genuine)
    found = 1 - np.searchsorted(rising, least) / max(len(rising), 1)
    return Pair(
        impostors=len(impostors),
        genuine=len(genuine),
        cosines=tuple(np.round(least.astype(np.float64), 7).tolist()),
        found=tuple(np.round(found if len(rising) else np.zeros(len(least)), 6).tolist()),
    )


def _common_states(graph: Graph, records: Sequence[Record], data: Path) -> tuple[State, ...]:
    """The states that all records can be in."""
    common = set.intersection(*(set(r.images) for r in records))
    if not common:
        raise CalibrationError(f"{data}: no modality is there for all of its test samples")
    return tuple(state for state in graph.states if set(state.available) <= common)
