"""Batches for the training loop: which of them this process gets, and the processes that load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from torch.utils.data import DataLoader

from denet.config import ConfigError
from denet.data.records import DataError
from denet.data.sampler import Draw, IdentitySampler
from denet.interrupt import let_children_die


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
