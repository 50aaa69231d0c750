"""A training recipe: model, optimization and augmentation, from a preset and a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from denet.adversarial import Adversary
from denet.config import ConfigError, ModelConfig, Positive, check_modalities
from denet.data.transforms import AugmentConfig
from denet.graph import Modality
from denet.losses import RecoveryLosses
from denet.reading import read_toml, reading

NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that training needs beside the model.

    What of it is the paper's, and what the paper leaves open, is in `docs/paper.md`.

    Attributes:
        epochs: how long everything is trained jointly; with `graph_epochs`, the branches alone.
        graph_epochs: then, how long CMFTs and edges are trained on branches that stand still. With
            0, as in the paper, there is no such phase. Otherwise the branches learn from `branch`
            and `plain` alone, and each phase has its own learning rate schedule.
        identities: P, identities in a batch.
        instances: K, samples of each identity in a batch.
        optimizer: "sgd" (momentum 0.9) or "adamw".
        lr: of a batch, at its highest.
        weight_decay: of all weights.
        schedule: "step" (times 0.1 at `milestones`) or "cosine" (down to nothing).
        milestones: epochs.
        warmup: epochs in which the learning rate rises linearly.
        margin: of the triplet loss.
        smoothing: of the labels.
        dropout: before the classifier.
        rho: weight of L_rec.
        mu: weight of L_sim.
        branch: weight of identity and triplet loss on each branch alone (0 in the paper).
        plain: weight of identity and triplet loss on the pooled features of the branches side by
            side, which is all that a plain concatenation trains (0 in the paper).
        states: weight of identity and triplet loss on c(S) of all missing states, through one
            classifier: half of it state by state, half on all of them as one batch, so that
            an identity in one state is near to itself in another (0 in the paper, which trains on
            the complete state).
        recovery_losses: the form of L_rec and L_sim: "norms", as the paper writes them, "means", or
            "centred"; see `denet.losses`.
        adversary: "image" or "feature" trains the CMFTs by a discriminator instead of L_rec and
            L_sim; see `denet.adversarial`.
        anchor: "rgb", the model's first modality (which is RGB in the paper), or "random" for each
            batch, so that the states without it are trained as well.
        clip: largest norm of the gradient; 0 for no limit.
        precision: of the arithmetic: "32", "16" or "bf16" (mixed).
        pretrained: start from ImageNet weights; or the name of a file of weights, or "package" for
            those that an installed package carries.
        validation: training identities held out to choose the best epoch, by the mean of mAP
            over the states. With 0, the last epoch is the best.
        evaluate_every: epochs between validations.
        workers: processes that load data.
        seed: of everything that is drawn.
    """

    epochs: Positive = 60
    graph_epochs: Annotated[int, msgspec.Meta(ge=0)] = 0
    identities: Positive = 2
    instances: Annotated[int, msgspec.Meta(ge=2)] = 4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, msgspec.Meta(gt=0)] = 0.01
    weight_decay: NonNegative = 5e-4
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[Positive, ...] = (30, 55)
    warmup: Annotated[int, msgspec.Meta(ge=0)] = 0
    margin: NonNegative = 0.3
    smoothing: Share = 0.1
    dropout: Share = 0.5
    rho: NonNegative = 1.0
    mu: NonNegative = 1.0
    branch: NonNegative = 0.0
    plain: NonNegative = 0.0
    states: NonNegative = 0.0
    recovery_losses: RecoveryLosses = "centred"
    adversary: Adversary = "none"
    anchor: Literal["rgb", "random"] = "rgb"
    clip: NonNegative = 0.0
    precision: Literal["32", "16", "bf16"] = "32"
    pretrained: bool | str = True
    validation: Annotated[int, msgspec.Meta(ge=0)] = 0
    evaluate_every: Positive = 5
    workers: Annotated[int, msgspec.Meta(ge=0)] = 4
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The three tables of a recipe file: `[model]`, `[train]` and `[augment]`."""

    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()


PRESETS: dict[str, Recipe] = {
    # The paper's form and numbers; `docs/paper.md` holds them against the text. L_rec and L_sim are
    # means: as sums ("norms") they make steps that no network survives at this learning rate.
    "paper": Recipe(
        model=ModelConfig(edge_norm=False, placed=False),
        train=TrainConfig(recovery_losses="means"),
        augment=AugmentConfig(erase=0.0),
    ),
    # What re-ID does today: a larger batch, Adam with warm-up and cosine, erasing, and losses on
    # each branch and in each missing state, so that no modality is left untrained behind a
    # stronger one and no state is left to chance.
    "strong": Recipe(
        model=ModelConfig(anchor_weight=0.3),
        train=TrainConfig(
            epochs=80,
            graph_epochs=40,
            identities=8,
            instances=8,
            optimizer="adamw",
            lr=3.5e-4,
            schedule="cosine",
            warmup=5,
            dropout=0.0,
            mu=100.0,
            branch=1.0,
            plain=1.0,
            states=1.0,
            anchor="random",
            precision="16",
        ),
    ),
    # Minutes on two CPU cores, from random weights.
    "small": Recipe(
        model=ModelConfig(
            backbone="resnet10", image_size=(96, 48), cmft_width=64, anchor_weight=0.3
        ),
        train=TrainConfig(
            epochs=6,
            graph_epochs=15,
            identities=8,
            instances=4,
            optimizer="adamw",
            lr=3e-3,
            schedule="cosine",
            warmup=1,
            dropout=0.0,
            mu=100.0,
            branch=1.0,
            plain=1.0,
            states=1.0,
            anchor="random",
            pretrained=False,
            workers=1,
        ),
        augment=AugmentConfig(pad=3, erase=0.2),
    ),
}


def read_recipe(
    preset: str | None,
    path: Path | None,
    weights: str | None = None,
    modalities: str | None = None,
) -> Recipe:
    """A preset ("paper" if none is named), with the values of a TOML file in place of its own.

    Args:
        preset: its name.
        path: of the file.
        weights: to start from, instead of what `pretrained` says.
        modalities: of the model, as "rgb,tir", instead of what its `modalities` say.

    Raises:
        ConfigError: there is no such preset, or the file cannot be read or is wrong.
    """
    preset = preset or "paper"
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}: choose from {', '.join(PRESETS)}")
    document: dict[str, Any] = msgspec.to_builtins(PRESETS[preset])
    if path is not None:
        for table, values in _tables(path).items():
            document[table] |= values
    if weights is not None:
        document["train"]["pretrained"] = weights
    if modalities is not None:
        document["model"]["modalities"] = parse_modalities(modalities)
    with reading(path or preset, ConfigError, "not a recipe"):
        return msgspec.convert(document, Recipe)


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a recipe file, whose keys are not looked at yet."""
    given = read_toml(path, ConfigError)
    known = Recipe.__struct_fields__
    for name, values in given.items():
        if name not in known or not isinstance(values, dict):
            expected = ", ".join(f"[{table}]" for table in known)
            raise ConfigError(f"{path}: unknown table or key {name!r}: expected {expected}")
    return given


def parse_modalities(text: str) -> tuple[Modality, ...]:
    """Modalities from a list of their names, as "rgb,tir".

    Raises:
        ConfigError: there is none, one is named twice, or one is unknown.
    """
    names = tuple(name for part in text.lower().split(",") if (name := part.strip()))
    try:
        check_modalities(names)
    except ValueError as error:
        raise ConfigError(f"--{error}") from None
    return names


def model_config(
    preset: str | None,
    path: Path | None,
    backbone: str | None,
    modalities: str | None = None,
) -> ModelConfig:
    """The model of a recipe, with another backbone or other modalities if they are named.

    Raises: ConfigError, as `read_recipe`.
    """
    model = read_recipe(preset, path, modalities=modalities).model
    return model if backbone is None else msgspec.structs.replace(model, backbone=backbone)
