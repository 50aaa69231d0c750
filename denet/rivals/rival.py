"""What every rival is: a network with a loss on complete batches, and an embedding in any state.

Methods for one modality stand three times side by side, as the paper has it (section IV-B): "we
expand the network into three branches, and concatenate the obtained features". Each branch is
trained by its method's own loss, alone: nothing is shared, so one training holds the paper's
networks of three branches, of two and of one, which it uses where modalities are missing. Their
features stand in their places, and zeros for a missing one: a cosine in one state then sees the
available ones alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.backbone import Backbone, ResNetFeatures, build_backbone
from denet.config import ConfigError, ModelConfig
from denet.graph import Graph, Modality, State
from denet.pretrained import load_backbone
from denet.recipe import Recipe, TrainConfig
from denet.weights import find_weights


@dataclass(frozen=True)
class Setting:
    """What a rival is built for.

    Attributes:
        recipe: of DENet; its backbone, image size and constants of common losses are used.
        identities: of the training data.
    """

    recipe: Recipe
    identities: int

    @property
    def model(self) -> ModelConfig:
        return self.recipe.model

    @property
    def train(self) -> TrainConfig:
        return self.recipe.train

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.model.graph.modalities

    def backbone(self, modality: Modality | None = None) -> Backbone:
        """A backbone of the recipe's kind, for the methods that take one.

        Args:
            modality: which it is for, where a file of weights has one for each; the first, if it is
                for all.

        Raises:
            ConfigError: it cannot be built, or the recipe's weights do not fit.
        """
        model, given = self.model, self.train.pretrained
        backbone = build_backbone(
            model.backbone, model.last_stride, model.image_size, pretrained=given is True
        )
        if isinstance(given, str):
            weights = find_weights(given, model.backbone)
            load_backbone(backbone, weights, modality or self.modalities[0], model.backbone)
        return backbone

    def resnet(self, method: str) -> ResNetFeatures:
        """The same, for a method that changes a ResNet from within.

        Raises:
            ConfigError: the recipe's backbone is none.
        """
        backbone = self.backbone()
        if not isinstance(backbone, ResNetFeatures):
            raise ConfigError(f"{method} needs a ResNet as backbone, not {self.model.backbone!r}")
        return backbone

    @property
    def shallow(self) -> bool:
        """Whether the recipe's ResNet has one block in each stage; networks with a structure of
        their own then have it, too, so that depths can be compared."""
        return self.model.backbone == "resnet10"


@dataclass(frozen=True)
class RivalOutput:
    """What a rival makes of a batch: the L2-normalized embedding (B, dim)."""

    embedding: Tensor


class Rival(nn.Module):
    """A method.

    Attributes:
        config: of DENet; which modalities and images it takes.
        dim: the length of an embedding.
    """

    dim: int

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.config = setting.model
        self.modalities = setting.modalities

    @property
    def graph(self) -> Graph:
        """Of the modalities that it takes."""
        return self.config.graph

    def begin_epoch(self) -> None:
        """Told before each epoch, for methods whose weights change with it."""

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        """The scalar that training makes small.

        Args:
            images: (B, 3, H, W) of each modality.
            labels: (B,), 0 <= label < identities; the samples of an identity stand together.
        """
        raise NotImplementedError

    def features(self, images: Mapping[Modality, Tensor], state: State) -> Tensor:
        """(B, dim) of images of the available modalities, not normalized."""
        raise NotImplementedError

    def forward(self, images: Mapping[Modality, Tensor], state: State) -> RivalOutput:
        """The embedding of images (B, 3, H, W) of the available modalities."""
        return RivalOutput(functional.normalize(self.features(images, state).float()))


class SingleModality(nn.Module):
    """A method for the images of one modality.

    Attributes:
        dim: the length of its feature.
    """

    dim: int

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        """As `Rival.loss`, of images (B, 3, H, W)."""
        raise NotImplementedError

    def feature(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, dim)."""
        raise NotImplementedError


class SideBySide(Rival):
    """A method for one modality, once for each.

    Args:
        setting: what it is built for.
        build: makes one branch.
    """

    def __init__(self, setting: Setting, build: Callable[[Setting], SingleModality]) -> None:
        super().__init__(setting)
        self.branches = nn.ModuleDict({m: build(setting) for m in self.modalities})
        self._dims = {m: self._branch(m).dim for m in self.modalities}
        self.dim = sum(self._dims.values())

    def _branch(self, modality: Modality) -> SingleModality:
        branch = self.branches[modality]
        assert isinstance(branch, SingleModality)
        return branch

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        """The mean of the branches' own losses."""
        each = [self._branch(m).loss(images[m], labels) for m in self.modalities]
        return torch.stack(each).mean()

    def features(self, images: Mapping[Modality, Tensor], state: State) -> Tensor:
        """The features side by side; zeros where a modality is missing."""
        made = {m: self._branch(m).feature(images[m]) for m in state.available}
        some = next(iter(made.values()))
        return torch.cat(
            [
                made[m] if m in made else some.new_zeros(len(some), self._dims[m])
                for m in self.modalities
            ],
            dim=1,
        )


class OneSpace(Rival):
    """A method that brings the image of any modality into one space.

    Its paper compares single images. A sample of several modalities is here the mean of the
    L2-normalized features of its images.
    """

    def feature(self, image: Tensor, modality: Modality) -> Tensor:
        """(B, 3, H, W) -> (B, dim)."""
        raise NotImplementedError

    def features(self, images: Mapping[Modality, Tensor], state: State) -> Tensor:
        made = [functional.normalize(self.feature(images[m], m)) for m in state.available]
        return torch.stack(made).mean(dim=0)
