"""IDF1 of identities over cameras, each track by its boxes.

    python measurements/identity_f1.py [--draws 200]

compares it with TrackEval on answers that are drawn at random; needs the extra `peers`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from runtime.node.tracks.assignment import assign


@dataclass(frozen=True)
class IdentityScore:
    """Of all boxes.

    Attributes:
        idf1: 2 IDTP / (boxes of the truth + boxes of the answer).
        right: share of the pairs of tracks of one identity that are of one person.
        identities: in the answer.
        people: in the truth.
    """

    idf1: float
    right: float
    identities: int
    people: int


def identity_f1(
    truth: Mapping[str, int], found: Mapping[str, str], boxes: Mapping[str, int]
) -> IdentityScore:
    """How well identities are people: boxes that are right under the best one-to-one map.

    Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
    2016.

    Args:
        truth: who is in each track.
        found: the identity of each track; of those that have none it is the track itself.
        boxes: of each track.
    """
    keys = list(truth)
    names = [found.get(key, key) for key in keys]
    people, who = np.unique([truth[key] for key in keys], return_inverse=True)
    ids, which = np.unique(names, return_inverse=True)
    weights = np.array([boxes[key] for key in keys], float)
    both = np.zeros((len(people), len(ids)))
    np.add.at(both, (who, which), weights)
    right = sum(both[pair] for pair in assign(1 - both / both.max()))
    joined = (which[:, None] == which) & ~np.eye(len(keys), dtype=bool)
    same = joined & (who[:, None] == who)
    return IdentityScore(
        idf1=float(2 * right / (2 * weights.sum())),
        right=float(same.sum() / max(1, joined.sum())),
        identities=len(ids),
        people=len(people),
    )


def trackeval_idf1(
    truth: Mapping[str, int], found: Mapping[str, str], boxes: Mapping[str, int]
) -> float:
    """The same by TrackEval: each box is a moment with one person and one answer."""
    from trackeval.metrics import Identity

    people, ids = sorted(set(truth.values())), sorted(set(found.values()))
    moments = [key for key in truth for _ in range(boxes[key])]
    data = {
        "gt_ids": [np.array([people.index(truth[key])]) for key in moments],
        "tracker_ids": [np.array([ids.index(found[key])]) for key in moments],
        "similarity_scores": [np.ones((1, 1))] * len(moments),
        "num_timesteps": len(moments),
        "num_gt_ids": len(people),
        "num_tracker_ids": len(ids),
        "num_gt_dets": len(moments),
        "num_tracker_dets": len(moments),
    }
    return float(Identity({"PRINT_CONFIG": False}).eval_sequence(data)["IDF1"])


def main(draws: int) -> None:
    pairs = []
    for seed in range(draws):
        chance = np.random.default_rng(seed)
        keys = [f"track-{n}" for n in range(chance.integers(3, 40))]
        truth = {key: int(chance.integers(6)) for key in keys}
        found = {key: f"identity-{chance.integers(8)}" for key in keys}
        boxes = {key: int(chance.integers(1, 9)) for key in keys}
        ours = identity_f1(truth, found, boxes).idf1
        pairs.append((ours, trackeval_idf1(truth, found, boxes)))
    both = np.array(pairs)
    print(f"IDF1 of {draws} answers: from {both.min():.3f} to {both.max():.3f}")
    print(f"greatest difference from TrackEval: {np.abs(both[:, 0] - both[:, 1]).max():.2g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    main(parser.parse_args().draws)
