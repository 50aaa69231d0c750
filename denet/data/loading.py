"""Batches for the training loop: which of them this process gets, and the processes that load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from denet.config import ConfigError
from denet.data.dataset import TrainingSet
from denet.data.records import DataError, Record
from denet.data.sample import labels_of
from denet.data.sampler import Draw, IdentitySampler
from denet.data.transforms import TrainingTransform
from denet.interrupt import begin_worker, let_children_die
from denet.recipe import Recipe


class ProcessBatches:
    """The batches of one process of several, which all get the same number, over some epochs.

    One stream of all epochs, not one for each, lets the processes that load data work ahead
    across the end of an epoch, while the network is validated and saved.

    Args:
        sampler: the batches of an epoch for all processes.
        rank: which process this is, from 0.
        world: how many there are.

    Attributes:
        epochs: those that are left to train; set before iterating.
        per_epoch: batches of this process in an epoch.

    Raises:
        ConfigError: an epoch has fewer batches than there are processes.
    """

    epochs = range(0)

    def __init__(self, sampler: IdentitySampler, rank: int, world: int) -> None:
        self.sampler = sampler
        self.rank, self.world = rank, world
        self.per_epoch = len(sampler) // self.world
        if not self.per_epoch:
            raise ConfigError(
                f"an epoch has {len(sampler)} batches, fewer than the {self.world} processes: "
                "use fewer processes, or smaller batches (identities, instances)"
            )

    def __iter__(self) -> Iterator[list[Draw]]:
        for epoch in self.epochs:
            self.sampler.set_epoch(epoch)
            everything = list(self.sampler)
            yield from everything[self.rank : self.per_epoch * self.world : self.world]

    def __len__(self) -> int:
        return self.per_epoch * len(self.epochs)


@dataclass(frozen=True)
class TrainingBatches:
    """The batches that a recipe trains on.

    Attributes:
        loader: of them; read it by `loaded`.
        order: which they are; its `epochs` are set before that.
        identities: of the samples.
    """

    loader: DataLoader[Any]
    order: ProcessBatches
    identities: int

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        recipe: Recipe,
        collate: Callable[[Any], Any] | None = None,
        *,
        rank: int = 0,
        world: int = 1,
        pinned: bool = False,
    ) -> TrainingBatches:
        """Those of `records`.

        Args:
            records: the samples that are trained on.
            recipe: how they are augmented, and what a batch has.
            collate: makes a batch of samples; by default torch's own.
            rank: which process this is, from 0.
            world: how many train together.
            pinned: in memory that a GPU reads from.

        Raises:
            ConfigError: an epoch has fewer batches than there are processes.
            DataError: the samples cannot be put into batches.
        """
        config = recipe.train
        labels = labels_of(records)
        samples = TrainingSet(
            records, labels, TrainingTransform(recipe.model, recipe.augment), seed=config.seed
        )
        sampler = IdentitySampler(
            samples.labels,
            identities=config.identities,
            instances=config.instances,
            seed=config.seed,
        )
        order = ProcessBatches(sampler, rank, world)
        loader: DataLoader[Any] = DataLoader(
            samples,
            batch_sampler=order,
            collate_fn=collate,
            num_workers=config.workers,
            worker_init_fn=begin_worker,
            pin_memory=pinned,
            generator=torch.Generator(),  # else it draws once from the numbers meant for dropout
        )
        return cls(loader, order, len(labels))


@contextmanager
def loaded(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """The batches of `loader`, whose processes end with the context.

    Raises:
        DataError: one of them was killed; torch says so wherever the loop happens to be.
    """
    try:
        with closing(batch for batch in loader) as batches:
            yield batches
    except (RuntimeError, ConnectionError, EOFError) as error:
        # The latter two where a process died while it handed over a batch.
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        let_children_die()
        raise DataError(
            "a process that loads data was killed, as when memory or /dev/shm is full: lower "
            f"workers in another run, or continue with --resume ({error})"
        ) from None
