"""The ways to train that experiments compare: what of a recipe each changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from denet.recipe import PRESETS, Recipe

Changes = Mapping[str, Mapping[str, Any]]
"""By table of the recipe, the values that a variant has instead of the recipe's. A value may be a
function of the recipe that is changed."""


@dataclass(frozen=True)
class TrainingVariant:
    """One row of a table: a way to train.

    Attributes:
        key: names its runs; equal keys are equal changes, so experiments share runs.
        label: what the row is called.
        changes: to the recipe.
    """

    key: str
    label: str
    changes: Changes = field(default_factory=dict)


DENET = TrainingVariant("denet", "DENet")

CONCAT = TrainingVariant(
    "concat",
    "three branches, concatenated",
    {
        "model": {"composition": "concat"},
        "train": {"branch": 0.0, "plain": 0.0, "states": 0.0, "graph_epochs": 0},
    },
)
"""A baseline as the paper may mean it: one loss, on the concatenation; zeros for what is missing.
"""

CONCAT_ALIKE = TrainingVariant(
    "concat-alike",
    "the same, its branches trained as DENet's",
    {"model": {"composition": "concat"}},
)
"""With whatever losses the recipe puts on the branches. With `graph_epochs`, its branches are
those of DENet bit for bit, and the difference is what recovery and enhancement add."""

BASELINES = (CONCAT, CONCAT_ALIKE, DENET)


def ablated(rec: bool, sim: bool, dem: bool) -> TrainingVariant:
    """DENet with or without L_rec, L_sim and DEM."""
    if rec and sim and dem:
        return DENET
    names = [name for name, on in (("rec", rec), ("sim", sim), ("dem", dem)) if on]
    changes: dict[str, dict[str, Any]] = {"train": {}}
    if not rec:
        changes["train"]["rho"] = 0.0
    if not sim:
        changes["train"]["mu"] = 0.0
    if not dem:
        changes["model"] = {"composition": "none"}
    shown = {"rec": "L_rec", "sim": "L_sim", "dem": "DEM"}
    label = " + ".join(shown[n] for n in names) or "none of L_rec, L_sim, DEM"
    return TrainingVariant("with-" + ("-".join(names) or "none"), label, changes)


FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Of the recipe's own weight, in the paper's Fig. 5 (a) to (c)."""


def scaled(name: str, factor: float) -> Callable[[Recipe], float]:
    """`factor` times what `[train]` of the recipe has."""
    return lambda recipe: factor * float(getattr(recipe.train, name))


def swept(weight: str) -> tuple[TrainingVariant, ...]:
    """DENet with `FACTORS` of a weight of the objective; with a factor of 1 it is DENet itself."""

    return tuple(
        TrainingVariant(DENET.key, f"its {weight}")
        if factor == 1
        else TrainingVariant(
            f"{weight}-times-{factor:g}",
            f"{factor:g} times its {weight}",
            {"train": {weight: scaled(weight, factor)}},
        )
        for factor in FACTORS
    )


def composed(key: str, label: str) -> TrainingVariant:
    """DENet with another composition; see `denet.graph.Composition`."""
    return TrainingVariant(key, label, {"model": {"composition": key}})


FIXED = composed("fixed", "fixed")
SINGLE = composed("single", "single direction")
DYNAMIC = TrainingVariant(DENET.key, "dynamic")

COMPOSITIONS = (
    FIXED,
    SINGLE,
    composed("ordered", "of each pair the first enhances the other"),
    composed("uncut", "missing modalities enhance, too"),
    composed("transposed", "Eq. 5 read as (Q K^T) V"),
    DYNAMIC,
)

GANS = (
    TrainingVariant("gan-image", "GAN on images", {"train": {"adversary": "image"}}),
    TrainingVariant("gan-feature", "GAN on features", {"train": {"adversary": "feature"}}),
    TrainingVariant(DENET.key, "CMFT"),
)

_PAPER = PRESETS["paper"]

_FORM: Changes = {
    "model": {
        name: getattr(_PAPER.model, name) for name in ("edge_norm", "placed", "anchor_weight")
    },
    "train": {
        name: getattr(_PAPER.train, name)
        for name in ("recovery_losses", "rho", "mu", "branch", "plain", "states", "anchor")
    }
    | {
        "graph_epochs": 0,
        "epochs": lambda recipe: recipe.train.epochs + recipe.train.graph_epochs,
    },
}
"""The paper's network and objective, trained for as many epochs as the recipe has, jointly."""


def _milestone(epoch: int) -> Callable[[Recipe], int]:
    """An epoch of the paper's, at the same part of the recipe's own number of them."""

    def scaled(recipe: Recipe) -> int:
        total = recipe.train.epochs + recipe.train.graph_epochs
        return max(1, round(epoch * total / _PAPER.train.epochs))

    return scaled


_OPTIMIZER = {
    name: getattr(_PAPER.train, name)
    for name in (
        *("identities", "instances", "optimizer", "lr", "weight_decay", "schedule", "warmup"),
        *("margin", "smoothing", "dropout", "clip"),
    )
} | {
    "milestones": lambda recipe: tuple(_milestone(epoch)(recipe) for epoch in (30, 55)),
}

LITERAL = (
    TrainingVariant(
        "literal",
        "the paper's form, optimizer and batch",
        {"model": _FORM["model"], "train": {**_FORM["train"], **_OPTIMIZER}},
    ),
    TrainingVariant("literal-form", "the paper's form, this recipe's optimizer and batch", _FORM),
    TrainingVariant(
        "literal-norms",
        "likewise, L_rec and L_sim as sums",
        {"model": _FORM["model"], "train": {**_FORM["train"], "recovery_losses": "norms"}},
    ),
    CONCAT,
    DENET,
)
