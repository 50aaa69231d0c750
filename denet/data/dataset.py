"""The samples of a data set as tensors, for torch's data loader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random

import torch
from torch import Tensor
from torch.utils.data import Dataset

from denet.config import ModelConfig
from denet.data.records import DataError, Record
from denet.data.sampler import Draw
from denet.data.transforms import TrainingTransform, evaluation_transform
from denet.graph import Modality
from denet.pixels import PixelError, to_rgb


class TrainingSet(Dataset[tuple[dict[Modality, Tensor], int, int]]):
    """Samples, augmented; indexed by the `Draw`s of an `IdentitySampler`.

    An item is a pure function of (seed, epoch, place, sample). The epoch comes with the index,
    so it reaches the workers of a data loader however many there are and however long they
    live, and nothing but the sampler has to be told of it:

        sampler = IdentitySampler(data.labels, identities=2, instances=4, seed=0)
        loader = DataLoader(data, batch_sampler=sampler, num_workers=2, persistent_workers=True)
        for epoch in range(60):
            sampler.set_epoch(epoch)
            for images, labels, cameras in loader:  # images: modality -> (B, 3, H, W)

    Where samples lack modalities, the loader needs `denet.data.batch.collate`.

    Attributes:
        labels: the class of each sample, 0 to n-1.
    """

    def __init__(
        self,
        records: Sequence[Record],
        labels: Mapping[int, int],
        transform: TrainingTransform,
        seed: int,
    ) -> None:
        """
        Args:
            records: the samples, each with some modalities of `transform` and no others.
            labels: identity to class, as `DataSet.labels` gives it.
            transform: images to network input.
            seed: of the augmentation.

        Raises:
            DataError: the identity of a sample has no class.
        """
        self._records = tuple(records)
        unknown = next((r for r in self._records if r.identity not in labels), None)
        if unknown is not None:
            raise DataError(f"{unknown.name}: its identity {unknown.identity} has no class")
        self.labels = [labels[record.identity] for record in self._records]
        self._transform = transform
        self._seed = seed

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, draw: Draw) -> tuple[dict[Modality, Tensor], int, int]:
        """The images (3, H, W) float32 by modality, the class, and the camera.

        Raises:
            DataError: an image cannot be read; names it, from a worker too.
        """
        record = self._records[draw.sample]
        # The seed of a Random may be a text, all of which counts.
        drawn = Random(f"{self._seed} {draw.epoch} {draw.place} {draw.sample}").getrandbits(63)
        with _named():
            images = self._transform(record.open(), torch.Generator().manual_seed(drawn))
        return images, self.labels[draw.sample], record.camera


class EvaluationSet(Dataset[tuple[dict[Modality, Tensor], int]]):
    """Samples as they are, each with the modalities that it has."""

    def __init__(self, records: Sequence[Record], config: ModelConfig) -> None:
        """
        Args:
            records: the samples, in any missing state of the model.
            config: of the model that is evaluated.
        """
        self._records = records
        self._ranges = {m: config.normalization_of(m).range16 for m in config.graph.modalities}
        self._transforms = {m: evaluation_transform(config, m) for m in config.graph.modalities}

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> tuple[dict[Modality, Tensor], int]:
        """The images (3, H, W) float32 of the modalities that sample `index` has, and `index`.

        Raises:
            DataError: an image cannot be read; names it, from a worker too.
        """
        images = self._records[index].open()
        with _named():
            return {
                m: self._transforms[m](to_rgb(i, self._ranges[m])) for m, i in images.items()
            }, index


@contextmanager
def _named() -> Iterator[None]:
    """Pixels without a meaning, as an error that survives the way from a worker."""
    try:
        yield
    except PixelError as error:
        raise DataError(str(error)) from None
