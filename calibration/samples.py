"""Which samples a calibration sees, and which others judge it.

Never the test split: a model calibrated on what it is tested on is tested on nothing. The samples
that judge are of identities that the calibration has not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from denet.data.records import DataError, ImageRef, Record, is_data, open_data, unmatched
from denet.folders import is_folder, modality_folders
from denet.graph import Graph, Modality, State
from denet.images import MOST_BYTES
from denet.reading import read_file
from runtime.bundle.manifest import Manifest
from runtime.preprocess import Preprocessor, to_pillow
from runtime.samples import find_samples

LEAST = 16
"""Samples that a calibration needs, and as many that judge it."""

MOST_JUDGED = 400

JUDGED_SHARE = 1 / 3
"""Of the identities, or of the samples where those are not known."""

MOST_UNIFORM = 0.1
"""Share of the images of a modality that may be of one colour."""


@dataclass(frozen=True)
class ChosenSamples:
    """Samples, all of which have the modalities of `state`.

    Attributes:
        records: the samples.
        state: the richest state that they can all be in.
        graph: that the state is of.
        preprocess: image to network input.
        source: the folder they are in.
    """

    records: tuple[Record, ...]
    state: State
    graph: Graph
    preprocess: Preprocessor
    source: str

    @property
    def states(self) -> tuple[State, ...]:
        """Every missing state that they can be in."""
        return tuple(s for s in self.graph.states if set(s.available) <= set(self.state.available))

    def batches(self, size: int) -> Iterator[dict[Modality, NDArray[np.float32]]]:
        """Network inputs (B, 3, H, W) of each modality, `size` samples at once.

        Raises:
            DataError: an image cannot be read.
            CalibrationError: too many images are of one colour.
        """
        allowed = max(1, int(MOST_UNIFORM * len(self.records)))
        uniform = dict.fromkeys(self.state.available, 0)
        for start in range(0, len(self.records), size):
            rows = self.records[start : start + size]
            arrays: dict[Modality, NDArray[np.float32]] = {
                m: np.empty((len(rows), *self.preprocess.shape), np.float32)
                for m in self.state.available
            }
            for row, record in enumerate(rows):
                for modality, stored in record.within(self.state).open().items():
                    image = to_pillow(stored, self.preprocess.ranges[modality])
                    low, high = image.convert("L").getextrema()
                    uniform[modality] += low == high
                    if uniform[modality] > allowed:
                        raise CalibrationError(
                            f"{record.images[modality].path}: one of {uniform[modality]} {modality}"
                            f" images of a single colour (at most {allowed} may be): a sensor that "
                            "shows nothing tells nothing: remove these samples"
                        )
                    self.preprocess(image, modality, arrays[modality][row])
            yield arrays

    def digest(self) -> str:
        """The sha256 of the samples: their names, and the content of their images.

        Raises:
            DataError: an image cannot be read.
        """
        total = hashlib.sha256()
        for record in self.records:
            total.update(f"{record.name}\n".encode())
            for modality in self.state.available:
                path = record.images[modality].path
                content = hashlib.sha256(read_file(path, DataError, MOST_BYTES)).hexdigest()
                total.update(f"{modality} {content}\n".encode())
        return total.hexdigest()


@dataclass(frozen=True)
class Samples:
    """What calibrates, and what judges.

    Attributes:
        calibration: the former.
        judged: the latter.
        labelled: whether the identities of the latter are known, and seen by several cameras.
        notes: what a person should know of the choice.
    """

    calibration: ChosenSamples
    judged: ChosenSamples
    labelled: bool
    notes: tuple[str, ...]


def choose_samples(
    manifest: Manifest, data: Path, judge: Path | None, count: int, seed: int
) -> Samples:
    """Choose `count` samples to calibrate with, or fewer if there are not so many.

    Args:
        manifest: of the bundle that they are for.
        data: a data set, of which the training split is taken, or a folder with RGB, NI and TI.
        judge: another set, whose test split judges; None to judge by a part of `data`.
        count: samples to calibrate with.
        seed: of the choice.

    Raises:
        CalibrationError: there are too few.
        DataError, SampleError: the data cannot be used.
    """
    graph, preprocess = manifest.graph, Preprocessor(manifest.preprocessing)
    notes: list[str] = []
    records, labelled = _training(data)
    random = np.random.default_rng(seed)
    kept, state = _richest(graph, records, data, 2 * LEAST if judge is None else LEAST, notes)
    if judge is None:
        fitted, judged = _halves(kept, labelled, random)
        judged_state, judged_source = state, str(data)
    else:
        tested = open_data(judge)
        same = tested.query == tested.gallery
        others = tested.query if same else (*tested.query, *tested.gallery)
        if not others:
            raise CalibrationError(f"{judge}: has no test split to judge by")
        fitted = kept
        judged, judged_state = _richest(graph, others, judge, LEAST, notes)
        judged_source, labelled = str(judge), True
        if not set(judged_state.available) <= set(state.available):
            judged_state = graph.state(set(judged_state.available) & set(state.available))
    if labelled and len(unmatched(judged, judged)) == len(judged):
        notes.append("no identity is seen by two cameras: judged by the embeddings alone")
        labelled = False
    if labelled and judge is None:
        notes.append(
            "judged by identities that the network may have learned from: mAP is higher here than "
            "in `denet eval`, which tests others, and it is its change that counts"
        )
    chosen = sorted(random.permutation(len(fitted))[:count])
    return Samples(
        ChosenSamples(tuple(fitted[i] for i in chosen), state, graph, preprocess, str(data)),
        ChosenSamples(
            _limited(judged, labelled, random), judged_state, graph, preprocess, judged_source
        ),
        labelled,
        tuple(notes),
    )


def _training(data: Path) -> tuple[tuple[Record, ...], bool]:
    """The samples to take from, and whether their identities are known."""
    if is_folder(data, DataError) and modality_folders(data, DataError) and not is_data(data):
        return tuple(
            Record(s.name, 0, 0, {m: ImageRef(path) for m, path in s.files.items()})
            for s in find_samples(data)
        ), False
    found = open_data(data)
    if not found.train:
        raise CalibrationError(
            f"{data}: has no training split: a calibration must not see the test split"
        )
    return found.train, True


def _richest(
    graph: Graph, records: Sequence[Record], data: Path, least: int, notes: list[str]
) -> tuple[tuple[Record, ...], State]:
    """The samples that have the modalities of the richest state in which there are enough."""
    for state in graph.states:
        kept = tuple(r for r in records if set(state.available) <= set(r.images))
        if len(kept) >= least:
            if len(kept) < len(records):
                notes.append(
                    f"{data}: {len(records) - len(kept)} of {len(records)} samples are left out: "
                    f"they lack a modality of {state}"
                )
            if missing := graph.missing(state):
                notes.append(f"{data}: no {' and no '.join(missing)} images to calibrate by")
            return kept, state
    raise CalibrationError(
        f"{data}: {len(records)} samples, and no modality in {least} of them: calibrating takes "
        f"at least {LEAST}, and as many to judge the result by"
    )


def _halves(
    records: tuple[Record, ...], labelled: bool, random: np.random.Generator
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """What may calibrate, and what judges, of different identities."""
    names = sorted({r.identity for r in records}) if labelled else list(range(len(records)))
    count = max(1, round(JUDGED_SHARE * len(names)))
    if not labelled:
        count = max(count, LEAST)
    taken = {names[i] for i in random.permutation(len(names))[:count]}
    keys = [r.identity for r in records] if labelled else names
    fitted = tuple(r for r, key in zip(records, keys, strict=True) if key not in taken)
    judged = tuple(r for r, key in zip(records, keys, strict=True) if key in taken)
    if min(len(fitted), len(judged)) < LEAST:
        raise CalibrationError(
            f"{len(records)} samples of {len(names)} identities leave {len(fitted)} to calibrate "
            f"with and {len(judged)} to judge by: at least {LEAST} of either are needed"
        )
    return fitted, judged


def _limited(
    records: tuple[Record, ...], labelled: bool, random: np.random.Generator
) -> tuple[Record, ...]:
    """At most `MOST_JUDGED` samples; whole identities where these are known."""
    if len(records) <= MOST_JUDGED:
        return records
    if not labelled:
        return tuple(records[i] for i in sorted(random.permutation(len(records))[:MOST_JUDGED]))
    kept: set[int] = set()
    total = 0
    names = sorted({r.identity for r in records})
    for i in random.permutation(len(names)):
        size = sum(r.identity == names[i] for r in records)
        if kept and total + size > MOST_JUDGED:
            break
        kept.add(names[i])
        total += size
    return tuple(r for r in records if r.identity in kept)
