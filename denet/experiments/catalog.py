"""The experiments: which variants of a recipe are compared, and by which figures.

The numbers are those of the paper's tables and figures, whose own numbers stand beside
(`denet.experiments.published`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from denet.errors import DenetError
from denet.experiments import published
from denet.experiments.backbones import BACKBONES
from denet.experiments.figure import (
    ABLATION_RATE,
    METRICS,
    Figure,
    accuracy,
    at_rate,
    at_rates,
    between,
    cross_modality,
    each_state,
    in_state,
    means,
    means_and_half,
    of_all,
)
from denet.experiments.gaps import ALONE, REPEATED, THERE, WHOLE
from denet.experiments.rivals import rival_variant
from denet.experiments.variants import (
    BASELINES,
    COMPOSITIONS,
    DENET,
    DYNAMIC,
    FIXED,
    GANS,
    LITERAL,
    SINGLE,
    TrainingVariant,
    ablated,
    swept,
)
from denet.graph import Graph

CAL = rival_variant("cal")
"""What the paper shows in Fig. 8, too."""


class ExperimentError(DenetError):
    """An experiment that does not exist or cannot be run."""


@dataclass(frozen=True)
class Block:
    """A table of an experiment, which may have several.

    Attributes:
        title: what its figures are of.
        variants: its rows.
        figures: its columns, for a model of a graph.
        published: the paper's rows, which stand below.
    """

    title: str
    variants: tuple[TrainingVariant, ...]
    figures: Callable[[Graph], tuple[Figure, ...]]
    published: published.Published = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """What one table or figure of the paper asks.

    Attributes:
        title: what it is in the paper.
        blocks: its tables; of a figure that shows no number, none.
        shown: what a figure shows beside what the tables have.
        picture: whether `denet.experiments.pictures` draws it.
        costed: whether what the networks cost stands behind the columns.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    shown: tuple[TrainingVariant, ...] = ()
    picture: bool = False
    costed: bool = False

    def blocks_of(self, graph: Graph) -> tuple[Block, ...]:
        """Its tables for a model of `graph`: those that have a column then."""
        return tuple(block for block in self.blocks if block.figures(graph))

    @property
    def variants(self) -> tuple[TrainingVariant, ...]:
        """What has to be trained, each once."""
        rows = [variant for block in self.blocks for variant in block.variants]
        return tuple({variant.key: variant for variant in (*rows, *self.shown)}.values())


def every_state(graph: Graph) -> tuple[Figure, ...]:
    """mAP in each state, and the means over those that lack something."""
    return (*each_state(graph), *means(graph)[1:])


def every_state_and_all(graph: Graph) -> tuple[Figure, ...]:
    """mAP in each state, and the means over those that lack something and over all."""
    return (*every_state(graph), of_all(graph))


def _at(metric: str) -> Callable[[Graph], tuple[Figure, ...]]:
    return lambda graph: each_state(graph, metric)


def complete_ranks(graph: Graph) -> tuple[Figure, ...]:
    """mAP, R1, R5 and R10 where nothing is missing."""
    return tuple(in_state(graph, graph.complete, metric) for metric in METRICS)


def state_ranks(name: str) -> Callable[[Graph], tuple[Figure, ...]]:
    """mAP, R1, R5 and R10 in the state called `name`; nothing for a graph without it."""

    def figures(graph: Graph) -> tuple[Figure, ...]:
        states = {"complete": graph.complete} | {state.name: state for state in graph.states}
        return tuple(in_state(graph, states[name], m) for m in METRICS) if name in states else ()

    return figures


def ablation_ranks(_: Graph) -> tuple[Figure, ...]:
    """mAP, R1, R5 and R10 at the missing rate of Tables V and VI."""
    return tuple(at_rate(ABLATION_RATE, metric) for metric in METRICS)


def missing_one(graph: Graph) -> tuple[Figure, ...]:
    """Table II's columns: for each of the modalities behind the first, the state that has the first
    and this one, and the search from either to the other."""
    first, *rest = graph.modalities
    figures: list[Figure] = []
    for other in reversed(rest):
        state = graph.state([first, other])
        for metric in METRICS[:2]:
            figures.append(in_state(graph, state, metric))
        for query, gallery in ((first, other), (other, first)):
            figures += [between(graph, query, gallery, metric) for metric in METRICS[:2]]
    return tuple(figures)


def state_against_state(graph: Graph) -> tuple[Figure, ...]:
    """Some pairs of a query's and a gallery's state, as far as the graph has them."""
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


def _ablation(
    title: str, variants: Sequence[TrainingVariant], rows: published.Published
) -> Experiment:
    return Experiment(
        title,
        (
            Block("At a missing rate of 25 %", tuple(variants), ablation_ranks, rows),
            Block("In the states", tuple(variants), means_and_half),
        ),
    )


_RHO, _MU = swept("rho"), swept("mu")
_FIG5 = {
    "rho": Block("The weight rho of L_rec", _RHO, means_and_half),
    "mu": Block("The weight mu of L_sim", _MU, means_and_half),
    "eta": Block("The missing rate eta", BASELINES, at_rates),
}

EXPERIMENTS: dict[str, Experiment] = {
    "table1": Experiment(
        "Table I: accuracy in every missing state",
        (
            Block("mAP", BASELINES, every_state, published.TABLE_1),
            Block("Rank-1", BASELINES, _at("R1"), published.TABLE_1),
        ),
    ),
    "table2": Experiment(
        "Table II: one modality is missing, beside search across modalities",
        (
            Block(
                "NIR or TIR is missing: what is left together, and one searched by the other",
                BASELINES,
                missing_one,
                published.TABLE_2,
            ),
            Block("A modality against another, all directions", BASELINES, cross_modality),
        ),
    ),
    "table3": Experiment(
        "Table III: DENet and a baseline in every missing state",
        tuple(
            Block(title, BASELINES, figures, published.TABLE_3)
            for title, figures in (
                ("mAP", every_state),
                ("Rank-1", _at("R1")),
                ("Rank-5", _at("R5")),
            )
        ),
    ),
    "table4": Experiment(
        "Table IV: nothing is missing",
        (Block("Complete", BASELINES, complete_ranks, published.TABLE_4),),
    ),
    "table5": _ablation(
        "Table V: ablation of L_rec, L_sim and DEM",
        [
            ablated(rec, sim, dem)
            for dem in (False, True)
            for rec, sim in ((False, False), (True, False), (False, True), (True, True))
        ],
        published.TABLE_5,
    ),
    "table6": _ablation("Table VI: recovery by CMFT's losses or by a GAN", GANS, published.TABLE_6),
    "table7": Experiment(
        "Table VII: dynamic, fixed and single-direction enhancement",
        (
            *(
                Block(title, (FIXED, SINGLE, DYNAMIC), state_ranks(name), published.TABLE_7[name])
                for title, name in (
                    ("TIR is missing", "rgb+nir"),
                    ("NIR is missing", "rgb+tir"),
                    ("NIR and TIR are missing", "rgb"),
                    ("Nothing is missing", "complete"),
                )
            ),
            Block("In the states", (FIXED, SINGLE, DYNAMIC), means_and_half),
        ),
    ),
    "fig5": Experiment("Fig. 5: rho, mu and eta", tuple(_FIG5.values()), picture=True),
    **{
        f"fig5-{name}": Experiment(f"Fig. 5: {block.title}", (block,))
        for name, block in _FIG5.items()
    },
    "fig6": Experiment(
        "Fig. 6: features with and without DEM and CMFT", shown=(DENET,), picture=True
    ),
    "fig7": Experiment(
        "Fig. 7: where recovered features find an identity",
        shown=(GANS[1], DENET),
        picture=True,
    ),
    "fig8": Experiment("Fig. 8: ranking lists", shown=(CAL, DENET), picture=True),
    "compositions": Experiment(
        "Compositions that the paper does not compare, beside those of Table VII",
        (Block("In the states", COMPOSITIONS, means_and_half),),
    ),
    "literal": Experiment(
        "The paper's form beside this recipe",
        (Block("In the states", LITERAL, means_and_half),),
    ),
    "states": Experiment("State against state", (Block("mAP", (DENET,), state_against_state),)),
    "backbones": Experiment(
        "Backbones for the edge",
        (Block("mAP", BACKBONES, means_and_half),),
        costed=True,
    ),
    "gaps": Experiment(
        "Training on samples that lack modalities",
        (Block("mAP", (WHOLE, *THERE, *ALONE), every_state_and_all),),
    ),
    "gaps-steps": Experiment(
        "Training on samples that lack modalities, or on the others in as many steps",
        (Block("mAP", (WHOLE, *THERE, *REPEATED), every_state_and_all),),
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
