"""A row of a table that is a rival: what is trained for it, and measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denet.data.records import DataSet
from denet.experiments.figure import RATES
from denet.experiments.variants import TrainingVariant
from denet.recipe import Recipe
from denet.rivals.catalog import method

if TYPE_CHECKING:
    from denet.embed import TorchEmbedder
    from denet.rivals.rival import Rival


@dataclass(frozen=True)
class RivalVariant(TrainingVariant):
    """A row for a rival.

    Attributes:
        rival: its name in `denet.rivals.catalog`.
    """

    rival: str = ""


def rival_variant(name: str) -> RivalVariant:
    """The row of the rival called `name`.

    Raises:
        RivalError: there is none.
    """
    return RivalVariant(f"rival-{name}", method(name).label, rival=name)


def trained(
    rival: str, recipe: Recipe, data: DataSet, run: Path, on_batch: Callable[[object], None]
) -> tuple[Rival, TorchEmbedder]:
    """A rival that is trained to its end, if it is not yet, and what embeds with it.

    Raises:
        DenetError: as `denet.rivals.training.train_rival`.
    """
    from denet.embed import TorchEmbedder
    from denet.rivals.training import train_rival

    network, device = train_rival(rival, recipe, data, run, on_batch=on_batch)
    return network, TorchEmbedder(network, device)


def rival_facts(
    name: str, recipe: Recipe, data: DataSet, run: Path, on_batch: Callable[[object], None]
) -> dict[str, Any]:
    """Train a rival to its end, or go on with it, and measure it as DENet is measured.

    Args:
        name: of the rival.
        recipe: DENet's, with the seed.
        data: with queries and gallery.
        run: the folder of its run.
        on_batch: told of each batch.

    Returns:
        What `denet.examine.Examination.facts` holds; nothing of recovery.

    Raises:
        DenetError: as `denet.rivals.training.train_rival`.
    """
    from denet.embedding_cache import EmbeddingCache
    from denet.evaluate import evaluate_own, evaluate_rates, state_matrix
    from denet.examine import Examination
    from denet.testset import open_split

    network, embedder = trained(name, recipe, data, run, on_batch)
    split = open_split(data).seen_by(network.graph)
    embed = EmbeddingCache(embedder)
    matrix = state_matrix(embed, split)
    return Examination(
        split=split,
        embed=embed,
        states={state: matrix[state, state] for state in split.supported},
        own=evaluate_own(embed, split) if split.has_gaps else None,
        matrix=matrix,
        rates=evaluate_rates(embed, split, RATES, seed=0),
        recovery={},
    ).facts()
