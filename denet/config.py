"""The configuration of a model: every size, from a recipe (`denet.recipe`) or a checkpoint.

Plain data, checked on reading: an unknown key, a wrong type or an impossible size is an error
that names the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from denet.errors import DenetError
from denet.folders import FOLDERS
from denet.graph import RGB_NIR_TIR, Composition, Graph, Modality

Positive = Annotated[int, msgspec.Meta(ge=1)]
Width = Annotated[int, msgspec.Meta(ge=1, le=8192)]
"""Channels. Wider than any network of ours, and what is built of it fits into memory."""

Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]
"""Pixels."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ConfigError(DenetError):
    """A configuration that cannot be used; the message names the key and the file."""


class Normalization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the pixels of one modality become network input.

    `mean` and `std` are per channel, for values in [0, 1]. `range16` is the pair of values that
    become black and white in images of more than 8 bits, in the sensor's own units: a thermal
    camera's raw counts seldom use all 16 bits, and images of 32 bits, such as of temperatures in
    kelvin, have no usual range.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    range16: tuple[int | float, int | float] = (0, 65535)

    def __post_init__(self) -> None:
        if not all(isfinite(value) for value in self.mean):
            raise ValueError(f"mean must be finite, not {list(self.mean)}")
        if not all(isfinite(value) and value > 0 for value in self.std):
            raise ValueError(f"std must be positive and finite, not {list(self.std)}")
        low, high = self.range16
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ValueError(f"range16 must be two rising values, not {list(self.range16)}")


Neck = Literal["before", "after", "centred"]
"""What retrieval compares; see `ModelConfig`."""


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every size of a DENet. C is the number of channels of the backbone's last feature map.

    Attributes:
        modalities: what the model has, in the order in which an anchor is chosen: one or more of
            `denet.folders.FOLDERS`. Unset, it has those of the paper, and so it is stored: naming
            these is the same. What a model has says its `graph`.
        backbone: a torchvision ResNet by name ("resnet50", "resnet18", "resnext50_32x4d", ...),
            an OSNet ("osnet_x1_0" to "osnet_x0_25"), or "timm:NAME" for a model of timm that has a
            spatial feature map.
        image_size: height and width of the network's input, in pixels.
        last_stride: stride of the backbone's last stage; 1 is the re-ID convention and gives a
            16x8 feature map for a 256x128 image.
        cbam_reduction: channel reduction of CBAM's attention MLP.
        cmft_width: channels of a CMFT at the feature map's resolution; by default C/8, at
            least 128.
        dem_channels: channels c of an edge's key, value and query; by default C/8.
        edge_norm: edges end in batch normalization, which is folded away on export. The paper's
            do not.
        placed: what a CMFT recovers is standardized and placed where the real feature stands
            (`denet.cmft`). The paper's is not.
        neck: the feature used for retrieval: before or after the BN neck; or before it, seen from
            the mean of the training samples, which all embeddings share.
        anchor_weight: weight of c({anchor}) beside c(S) in the embedding. The paper's is 1, which
            counts the anchor's own feature twice; with 0 only c(S) is compared.
        composition: "dynamic" is DENet, and what is exported; see `denet.graph.Composition` for
            what it is compared with.
        normalization: per modality; ImageNet's statistics where it is silent.
    """

    modalities: tuple[Modality, ...] | UnsetType = UNSET
    backbone: str = "resnet50"
    image_size: tuple[Side, Side] = (256, 128)
    last_stride: Literal[1, 2] = 1
    cbam_reduction: Width = 16
    cmft_width: Width | None = None
    dem_channels: Width | None = None
    edge_norm: bool = True
    placed: bool = True
    neck: Neck = "before"
    anchor_weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    composition: Composition = "dynamic"
    normalization: dict[Modality, Normalization] = {}

    def __post_init__(self) -> None:
        if self.modalities is not UNSET:
            check_modalities(self.modalities)
            if self.modalities == RGB_NIR_TIR.modalities:
                force_setattr(self, "modalities", UNSET)
        known = self.graph.modalities
        if unknown := sorted(set(self.normalization).difference(known)):
            raise ValueError(
                f"normalization: unknown modality {', '.join(map(repr, unknown))}: "
                f"choose from {', '.join(known)}"
            )

    @property
    def graph(self) -> Graph:
        """The graph of its modalities; the one place that says which a model has."""
        return RGB_NIR_TIR if self.modalities is UNSET else Graph(self.modalities)

    def normalization_of(self, modality: Modality) -> Normalization:
        return self.normalization.get(modality, Normalization())


def check_modalities(names: Sequence[Modality]) -> None:
    """See that a model can have the modalities called `names`.

    Raises:
        ValueError: there is none, one is given twice, or one is unknown.
    """
    known = ", ".join(FOLDERS)
    if not names:
        raise ValueError(f"modalities: none is named: choose one or more of {known}")
    for i, name in enumerate(names):
        if name not in FOLDERS:
            raise ValueError(f"modalities: unknown modality {name!r}: choose from {known}")
        if name in names[:i]:
            raise ValueError(f"modalities: {name!r} is named twice")
