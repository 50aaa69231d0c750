"""Embeds records in given missing states: with a model in PyTorch, or with a loaded bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from denet.config import ModelConfig
from denet.data.dataset import EvaluationSet
from denet.data.records import Record
from denet.graph import Modality, State
from denet.images import Decoded


class EmbeddingNetwork(Protocol):
    """What is asked of a network in PyTorch; `denet.model.DENet` is one."""

    @property
    def config(self) -> ModelConfig:
        """What it takes."""

    @property
    def dim(self) -> int:
        """The length of an embedding."""

    def eval(self) -> Any:
        """Put it in evaluation mode."""

    def __call__(self, images: Any, state: Any) -> Any:
        """Images (B, 3, H, W) by modality, in a state -> what has an L2-normalized `embedding`
        (B, dim)."""


class TorchEmbedder:
    """An `evaluate.Embed` over a network.

    Args:
        model: it is put in evaluation mode.
        device: where the model is.
        batch: samples at once.
        workers: processes that load images.
    """

    def __init__(
        self,
        model: EmbeddingNetwork,
        device: torch.device,
        *,
        batch: int = 32,
        workers: int = 0,
    ) -> None:
        model.eval()
        self.model = model
        self.device = device
        self.batch = batch
        self.workers = workers

    def __call__(self, records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
        """The embeddings (N, dim) of `records`, each as if only its state were available."""
        embeddings = np.empty((len(records), self.model.dim), np.float32)
        for state in dict.fromkeys(states):
            rows = [i for i, given in enumerate(states) if given == state]
            limited = [records[i].within(state) for i in rows]
            loader = DataLoader(
                EvaluationSet(limited, self.model.config), self.batch, num_workers=self.workers
            )
            with torch.inference_mode():
                for images, index in loader:
                    on_device = {m: tensor.to(self.device) for m, tensor in images.items()}
                    made = self.model(on_device, state).embedding
                    embeddings[[rows[i] for i in index]] = made.float().cpu().numpy()
        return embeddings


class LoadedModel(Protocol):
    """What is asked of a loaded bundle; `runtime.Runtime` is one."""

    dim: int
    max_batch: int

    def embed_batch(self, samples: Sequence[Mapping[Modality, Decoded]]) -> NDArray[np.float32]:
        """Samples (their images by modality) to L2-normalized embeddings (N, dim)."""


class BundleEmbedder:
    """An `evaluate.Embed` over a loaded bundle, on whatever backend and precision it runs."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded

    def __call__(self, records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
        """The embeddings (N, dim) of `records`, each as if only its state were available."""
        embeddings = np.empty((len(records), self.loaded.dim), np.float32)
        for start in range(0, len(records), self.loaded.max_batch):
            rows = slice(start, start + self.loaded.max_batch)
            embeddings[rows] = self.loaded.embed_batch(
                [
                    record.within(state).open()
                    for record, state in zip(records[rows], states[rows], strict=True)
                ]
            )
        return embeddings
