"""Does a recovered feature hold the sample that it was recovered from?

For each direction a -> b: the pooled feature of b that CMFT a2b recovers is compared with the
real pooled feature of b, of the same sample and of samples of other identities.

Features behind a ReLU are not negative and share a large mean, so the cosine of any two is high
and a constant would do well. So everything is measured a second time on **centred** features:
less the mean real feature of b over the set. Of a constant, nothing is left to compare then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from denet.data.dataset import EvaluationSet
from denet.data.records import Record, complete
from denet.errors import DenetError
from denet.graph import Edge, Modality
from denet.model import DENet

ROWS = 512
"""Samples compared with all others at once; bounds the memory of a large set."""


class RecoveryError(DenetError):
    """Recovered features cannot be compared."""


@dataclass(frozen=True)
class Similarity:
    """How similar recovered features are to real ones.

    Attributes:
        same: mean cosine to the real feature of the same sample.
        different: mean cosine to the real features of other identities.
        auc: share of the pairs of a sample and another identity in which the sample's own real
            feature is the more similar one, each sample counting alike and a tie as half; 0.5 is
            chance.
    """

    same: float
    different: float
    auc: float


@dataclass(frozen=True)
class Recovery:
    """One direction, on features as they are and on centred ones."""

    raw: Similarity
    centred: Similarity


@dataclass(frozen=True)
class Features:
    """Pooled features (N, C) of N samples: real ones, and those recovered in each direction."""

    real: dict[Modality, NDArray[np.float32]]
    recovered: dict[Edge, NDArray[np.float32]]


def check_recovery(
    model: DENet, records: Sequence[Record], *, batch: int, workers: int
) -> dict[Edge, Recovery]:
    """Compare recovered and real features of `records`, in all directions.

    Args:
        model: a DENet in evaluation mode.
        records: samples; those that are complete are compared, of at least two identities.
        batch: samples at once.
        workers: processes that load images.

    Raises:
        DataError: an image cannot be read.
        RecoveryError: they are of one identity or none, or the model recovers nothing.
    """
    if not model.recovers:
        raise RecoveryError(
            f'the model recovers nothing: its composition is "{model.config.composition}"'
        )
    records = complete(records, model.graph)
    if not can_compare(model, records):
        raise RecoveryError(
            "recovered features need complete samples of at least two identities, with "
            f"{', '.join(model.graph.modalities)}"
        )
    identities = np.array([record.identity for record in records])
    features = pooled_features(model, records, batch=batch, workers=workers)
    return compare_features(features, identities)


def can_compare(model: DENet, records: Sequence[Record]) -> bool:
    """Whether a model recovers something, and enough of the records are complete to see what."""
    whole = complete(records, model.graph)
    return model.recovers and len({record.identity for record in whole}) > 1


def pooled_features(
    model: DENet, records: Sequence[Record], *, batch: int, workers: int
) -> Features:
    """The real and recovered pooled features of complete samples. As `check_recovery`."""
    complete = model.graph.complete
    data = EvaluationSet([record.within(complete) for record in records], model.config)
    real: dict[Modality, list[NDArray[np.float32]]] = {m: [] for m in complete.available}
    recovered: dict[Edge, list[NDArray[np.float32]]] = {}
    device = next(model.parameters()).device
    with torch.inference_mode():
        for images, _ in DataLoader(data, batch, num_workers=workers):
            output = model({m: image.to(device) for m, image in images.items()}, complete)
            for modality, branch in output.branches.items():
                real[modality].append(branch.pooled.float().cpu().numpy())
            for edge, made in model.recover_all(output).items():
                recovered.setdefault(edge, []).append(made.pooled.float().cpu().numpy())
    return Features(
        {m: np.concatenate(chunks) for m, chunks in real.items()},
        {edge: np.concatenate(chunks) for edge, chunks in recovered.items()},
    )


def compare_features(features: Features, identities: NDArray[np.intp]) -> dict[Edge, Recovery]:
    """Each direction's similarities.

    Args:
        features: of N samples.
        identities: (N,), at least two different ones.
    """
    results: dict[Edge, Recovery] = {}
    for edge, recovered in features.recovered.items():
        real = features.real[edge[1]]
        mean = real.mean(axis=0)
        results[edge] = Recovery(
            _similarity(recovered, real, identities),
            _similarity(recovered - mean, real - mean, identities),
        )
    return results


def mean_recovery(recoveries: Mapping[Edge, Recovery]) -> Recovery:
    """The mean over the directions."""

    def mean(chosen: Sequence[Similarity]) -> Similarity:
        return Similarity(*np.mean([astuple(similarity) for similarity in chosen], axis=0).tolist())

    return Recovery(
        mean([r.raw for r in recoveries.values()]), mean([r.centred for r in recoveries.values()])
    )


def _similarity(
    recovered: NDArray[np.float32], real: NDArray[np.float32], identities: NDArray[np.intp]
) -> Similarity:
    rec, true = _normalized(recovered), _normalized(real)
    same, different, auc = np.empty((3, len(real)))
    for start in range(0, len(real), ROWS):
        rows = slice(start, start + ROWS)
        cosines = rec[rows] @ true.T
        own = cosines.diagonal(start)[:, None]
        others = identities[rows, None] != identities[None]
        count = others.sum(axis=1)
        same[rows] = own[:, 0]
        different[rows] = np.sum(cosines * others, axis=1) / count
        above = (cosines < own) + 0.5 * (cosines == own)
        auc[rows] = np.sum(above * others, axis=1) / count
    return Similarity(float(same.mean()), float(different.mean()), float(auc.mean()))


def _normalized(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    # float64, so that a sample's cosine to itself is not decided by the order of a sum.
    wide = vectors.astype(np.float64)
    normalized: NDArray[np.float64] = wide / np.maximum(
        np.linalg.norm(wide, axis=1, keepdims=True), 1e-12
    )
    return normalized
