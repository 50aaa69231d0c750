"""The experiments: which variants of a recipe are compared, and by which figures.

The numbers are those of the paper's tables. Its Tables I, III and IV ask the same of different
data sets, so they differ here by their names and by the published figures beside them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from denet.errors import DenetError
from denet.experiments.figure import (
    Figure,
    accuracy,
    at_rates,
    complete_rank,
    cross_modality,
    each_state,
    means,
)
from denet.graph import Graph

Changes = Mapping[str, Mapping[str, Any]]
"""By table of the recipe, the values that a variant has instead of the recipe's."""


class ExperimentError(DenetError):
    """An experiment that does not exist or cannot be run."""


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


@dataclass(frozen=True)
class Experiment:
    """A table.

    Attributes:
        title: what it is in the paper.
        variants: its rows.
        figures: its columns, for a model of a graph.
        published: by data set, rows of the paper: label, then a text by the figure's name.
    """

    title: str
    variants: tuple[TrainingVariant, ...]
    figures: Callable[[Graph], tuple[Figure, ...]]
    published: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)


DENET = TrainingVariant("denet", "DENet")
CONCAT = TrainingVariant(
    "concat",
    "three branches, concatenated",
    {
        "model": {"composition": "concat"},
        "train": {"branch": 0.0, "plain": 0.0, "states": 0.0, "graph_epochs": 0},
    },
)
"""The paper's baseline: one loss, on the concatenation; zeros for what is missing."""

CONCAT_ALIKE = TrainingVariant(
    "concat-alike",
    "the same, its branches trained as DENet's",
    {"model": {"composition": "concat"}},
)
"""With whatever losses the recipe puts on the branches. With `graph_epochs`, its branches are
those of DENet bit for bit, and the difference is what recovery and enhancement add."""


def _ablation(rec: bool, sim: bool, dem: bool) -> TrainingVariant:
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


def _sweep(weight: str) -> tuple[TrainingVariant, ...]:
    return tuple(
        TrainingVariant(f"{weight}-{value:g}", f"{weight} = {value:g}", {"train": {weight: value}})
        for value in (0.01, 0.1, 1.0, 10.0, 100.0)
    )


PUBLISHED = {
    # mAP / R1; what the paper does not report is absent.
    "RGBNT201": {
        "DENet, published on RGBNT201": {
            "complete": "42.4",
            "R1 complete": "42.2",
            "rgb+nir": "33.0",
            "rgb+tir": "35.4",
            "rgb": "32.4",
        }
    },
    "RGBNT100": {
        "DENet, published on RGBNT100": {
            "complete": "68.1",
            "R1 complete": "89.2",
            "rgb+nir": "56.0",
            "rgb+tir": "62.0",
            "rgb": "50.1",
        },
        "its baseline, published on RGBNT100": {"complete": "62.1", "R1 complete": "87.1"},
    },
}


def comparison(graph: Graph) -> tuple[Figure, ...]:
    """Every state, and the means over those that lack something."""
    return (*each_state(graph), complete_rank(graph), *means(graph)[1:])


def state_against_state(graph: Graph) -> tuple[Figure, ...]:
    """The paper's pairs of a query's and a gallery's state, as far as the graph has them."""
    pairs = (
        ("rgb+nir+tir", "rgb+tir"),
        ("rgb+nir+tir", "rgb"),
        ("rgb+tir", "rgb"),
        ("rgb", "tir"),
    )
    states = {state.name: state for state in graph.states}
    return tuple(
        accuracy(f"{query} / {gallery}", states[query], states[gallery])
        for query, gallery in pairs
        if query in states and gallery in states
    )


def _comparison(number: str) -> Experiment:
    return Experiment(
        title=f"Table {number}: accuracy in every missing state",
        variants=(CONCAT, CONCAT_ALIKE, DENET),
        figures=comparison,
        published=PUBLISHED,
    )


EXPERIMENTS: dict[str, Experiment] = {
    "table1": _comparison("I"),
    "table2": Experiment(
        title="Table II: query in one modality, gallery in another",
        variants=(CONCAT, CONCAT_ALIKE, DENET),
        figures=cross_modality,
    ),
    "table3": _comparison("III"),
    "table4": _comparison("IV"),
    "table5": Experiment(
        title="Table V: ablation of L_rec, L_sim and DEM",
        variants=tuple(
            _ablation(rec, sim, dem)
            for dem in (False, True)
            for rec, sim in ((False, False), (True, False), (False, True), (True, True))
        ),
        figures=means,
    ),
    "table6": Experiment(
        title="Table VI: recovery by CMFT's losses or by a GAN",
        variants=(
            TrainingVariant("gan-image", "GAN on images", {"train": {"adversary": "image"}}),
            TrainingVariant("gan-feature", "GAN on features", {"train": {"adversary": "feature"}}),
            TrainingVariant("denet", "CMFT"),
        ),
        figures=means,
    ),
    "table7": Experiment(
        title="Table VII: dynamic, fixed and single-direction enhancement",
        variants=(
            TrainingVariant("fixed", "fixed", {"model": {"composition": "fixed"}}),
            TrainingVariant("single", "single direction", {"model": {"composition": "single"}}),
            TrainingVariant("denet", "dynamic"),
        ),
        figures=means,
    ),
    "fig5-rho": Experiment(
        title="Fig. 5: the weight rho of L_rec",
        variants=_sweep("rho"),
        figures=means,
    ),
    "fig5-mu": Experiment(
        title="Fig. 5: the weight mu of L_sim",
        variants=_sweep("mu"),
        figures=means,
    ),
    "fig5-eta": Experiment(
        title="Fig. 5d: accuracy at a missing rate eta",
        variants=(CONCAT, CONCAT_ALIKE, DENET),
        figures=at_rates,
    ),
    "states": Experiment(
        title="State against state",
        variants=(DENET,),
        figures=state_against_state,
    ),
}


def experiment(name: str) -> Experiment:
    """The experiment called `name`.

    Raises:
        ExperimentError: there is none.
    """
    if name not in EXPERIMENTS:
        raise ExperimentError(f"unknown experiment {name!r}: choose from {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
