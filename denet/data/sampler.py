"""Batches of P identities with K images each, as the triplet loss needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from torch.utils.data import Sampler

from denet.data.records import DataError


class Draw(NamedTuple):
    """One place in the batches of a run, and the sample that is there.

    It is the index that a `TrainingSet` takes. A sample that comes twice in an epoch, even in
    one batch, has two places, and so is augmented in two ways.
    """

    sample: int
    epoch: int
    place: int


class IdentitySampler(Sampler[list[Draw]]):
    """Batches of P different identities with K different samples each.

    An epoch is about as many samples as there are, and no fewer than show every identity. In
    it, one identity comes at most once more than another, and so do two samples of one
    identity. An identity that has fewer than K samples repeats them, evenly.

    The batches are a pure function of the labels, the seed and the epoch: a run that is resumed
    at an epoch goes on as if it had not stopped.
    """

    def __init__(self, labels: Sequence[int], identities: int, instances: int, seed: int) -> None:
        """
        Args:
            labels: the identity of each sample.
            identities: P, identities in a batch.
            instances: K, samples of each.
            seed: of the order.

        Raises:
            DataError: P or K is not positive, or there are fewer than P identities.
        """
        self._samples: dict[int, list[int]] = {}
        for index, label in enumerate(labels):
            self._samples.setdefault(label, []).append(index)
        if identities < 1 or instances < 1:
            raise DataError(f"a batch needs identities and images, not {identities} x {instances}")
        if len(self._samples) < identities:
            raise DataError(
                f"a batch takes {identities} identities, the training data have "
                f"{len(self._samples)}: lower the number or add data"
            )
        self._identities = identities
        self._instances = instances
        self._seed = seed
        self._epoch = 0
        self._batches = max(
            -(-len(labels) // (identities * instances)), -(-len(self._samples) // identities)
        )

    def set_epoch(self, epoch: int) -> None:
        """The next iteration gives the batches of `epoch`."""
        self._epoch = epoch

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch = self._epoch
        random = Random(f"{self._seed} {epoch}")
        identities = _Rounds(sorted(self._samples), random)
        samples = {label: _Rounds(found, random) for label, found in self._samples.items()}
        place = 0
        for _ in range(self._batches):
            batch: list[Draw] = []
            for label in identities.take(self._identities):
                for sample in samples[label].take(self._instances):
                    batch.append(Draw(sample, epoch, place))
                    place += 1
            yield batch


class _Rounds:
    """Items in shuffled rounds, each item once in a round."""

    def __init__(self, items: Sequence[int], random: Random) -> None:
        self._items = items
        self._random = random
        self._left: list[int] = []

    def take(self, count: int) -> list[int]:
        """The next `count` items, different from each other as far as there are so many."""
        taken: list[int] = []
        while len(taken) < count:
            taken += self._different(min(count - len(taken), len(self._items)))
        return taken

    def _different(self, count: int) -> list[int]:
        taken, self._left = self._left[:count], self._left[count:]
        if len(taken) < count:
            # A new round: what was just taken from the last one must wait for another time.
            fresh = self._random.sample(self._items, len(self._items))
            more = [item for item in fresh if item not in taken][: count - len(taken)]
            self._left = [item for item in fresh if item not in more]
            taken += more
        return taken
