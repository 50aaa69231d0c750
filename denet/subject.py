"""What is evaluated: a checkpoint in PyTorch, or a bundle on a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from denet.checkpoint import open_checkpoint
from denet.config import ModelConfig
from denet.embed import TorchEmbedder
from denet.errors import DenetError
from denet.evaluate import Embed
from denet.graph import Graph, Modality
from denet.model import DENet
from denet.pixels import Range
from denet.validation import in_plain_words


class SubjectError(DenetError):
    """A model that cannot do what is asked of it; the message names it."""


@dataclass(frozen=True)
class Subject:
    """A model that is loaded.

    Attributes:
        path: its file or folder.
        embed: what embeds records with it.
        config: of the network.
        runs_on: on what it runs, for a person.
        model: the network, where the subject is a checkpoint.
        exported_from: sha256 of the checkpoint that a bundle was made of; None for a checkpoint.
        card: the model card in rows of a label and a text; empty where nothing is known.
    """

    path: Path
    embed: Embed
    config: ModelConfig
    runs_on: str
    model: DENet | None = None
    exported_from: str | None = None
    card: Sequence[tuple[str, str]] = ()

    @property
    def kind(self) -> str:
        """ "checkpoint" or "bundle"."""
        return "bundle" if self.model is None else "checkpoint"

    def network(self, purpose: str) -> DENet:
        """The network, for what only a checkpoint can do.

        Raises:
            SubjectError: the subject is a bundle.
        """
        if self.model is None:
            raise SubjectError(
                f"{self.path}: a bundle gives embeddings alone: {purpose} needs the checkpoint"
            )
        return self.model

    @property
    def graph(self) -> Graph:
        """Of the modalities that it takes."""
        return self.config.graph

    @property
    def ranges(self) -> dict[Modality, Range]:
        """Of each modality, the values that are black and white in 16-bit images."""
        return {m: self.config.normalization_of(m).range16 for m in self.graph.modalities}


def checkpoint_subject(path: Path, *, batch: int = 32, workers: int = 0) -> Subject:
    """The checkpoint at `path`, on a GPU where there is one.

    Args:
        path: its file.
        batch: samples embedded at once.
        workers: processes that load images.

    Raises:
        CheckpointError: it cannot be read.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = open_checkpoint(path)
    model, provenance = checkpoint.model.to(device), checkpoint.provenance
    embed = TorchEmbedder(model, device, batch=batch, workers=workers)
    card = () if provenance is None else provenance.rows()
    return Subject(path, embed, model.config, f"PyTorch, {device}", model=model, card=card)


def manifest_config(bundle: Path, model: Mapping[str, Any]) -> ModelConfig:
    """The configuration that the manifest of `bundle` holds as plain data.

    Raises:
        SubjectError: it is of another version.
    """
    try:
        return msgspec.convert(model, ModelConfig)
    except msgspec.ValidationError as error:
        raise SubjectError(
            f"{bundle}: its manifest describes a model that this version of denet does not know: "
            f"{in_plain_words(str(error))}"
        ) from None
