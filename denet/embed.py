"""Embeds records with a model in PyTorch, each in a given missing state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from denet.data.dataset import EvaluationSet
from denet.data.records import Record
from denet.graph import PARTS, STATES, State
from denet.model import DENet


class TorchEmbedder:
    """An `evaluate.Embed` over a model.

    Args:
        model: it is put in evaluation mode.
        device: where the model is.
        batch: samples at once.
        workers: processes that load images.
    """

    def __init__(
        self, model: DENet, device: torch.device, *, batch: int = 32, workers: int = 0
    ) -> None:
        self.model = model.eval()
        self.device = device
        self.batch = batch
        self.workers = workers

    def __call__(self, records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
        """The embeddings (N, 6C) of `records`, each as if only its state were available."""
        embeddings = np.empty((len(records), PARTS * self.model.channels), np.float32)
        for state in STATES:
            rows = [i for i, given in enumerate(states) if given == state]
            limited = [
                replace(records[i], images={m: records[i].images[m] for m in state.available})
                for i in rows
            ]
            loader = DataLoader(
                EvaluationSet(limited, self.model.config), self.batch, num_workers=self.workers
            )
            with torch.inference_mode():
                for images, index in loader:
                    on_device = {m: tensor.to(self.device) for m, tensor in images.items()}
                    made = self.model(on_device, state).embedding
                    embeddings[[rows[i] for i in index]] = made.float().cpu().numpy()
        return embeddings
