"""All figures that a model and a test set allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from denet.evaluate import Embed, Split
from denet.figures.accuracy import rate_curve, state_bars
from denet.figures.activation import activation_figure, identity_direction
from denet.figures.captions import captions
from denet.figures.choice import choose_queries, shown_states
from denet.figures.clusters import choose_identities, clusters_figure
from denet.figures.drawing import Drawing
from denet.figures.ranking import ranked_lists, ranking_figure
from denet.figures.recovered import recovered_figure
from denet.figures.style import render
from denet.graph import Modality, State
from denet.metrics import Ranking
from denet.model import DENet
from denet.pixels import Range
from denet.progress import Whole

QUERIES = 2
"""Queries whose ranking lists are shown, each in all of `shown_states`."""

SAMPLES = 4
"""Samples whose recovered images and activation maps are shown."""

NEED_CHECKPOINT = ("recovered", "activation")
"""Figures of what is inside the network."""

NOT_OF_A_BUNDLE = (
    f"a bundle gives embeddings alone: the figures {' and '.join(NEED_CHECKPOINT)} need its "
    "checkpoint"
)


def draw_figures(
    split: Split,
    embed: Embed,
    models: Mapping[str, Mapping[State, Ranking]],
    rates: Mapping[float, Ranking],
    *,
    model: DENet | None,
    ranges: Mapping[Modality, Range],
    seed: int,
    notify: Whole = lambda *_: None,
) -> list[Drawing]:
    """Draw the figures, in the order in which a person should see them.

    Args:
        split: samples, some queries with a match. Samples are shown where some of them are complete
            and have a match; where none is, figures of samples are left out (`not_drawn`).
        embed: what the ranking lists and clusters are made with.
        models: name -> accuracy in every state; a bar for each.
        rates: accuracy at each missing rate, of what `embed` embeds.
        model: the network inside `embed`; None for a bundle, and the figures named in
            `NEED_CHECKPOINT` are left out. So is "recovered" if the network recovers nothing.
        ranges: of each modality, the values of 16-bit images that become black and white.
        seed: of which samples are shown.
        notify: told what is being drawn, and how many of all.

    Raises:
        DataError: an image cannot be read.
    """
    states = shown_states(split.graph)
    everyone, split = split, split.within(split.graph.complete)
    chosen = choose_queries(split, SAMPLES, seed)
    samples = [split.query[query] for query in chosen]

    def ranking() -> Figure:
        return ranking_figure(ranked_lists(embed, split, chosen[:QUERIES], states), ranges)

    def clusters() -> Figure:
        records = choose_identities(split, seed)
        vectors = {state: embed(records, [state] * len(records)) for state in states}
        return clusters_figure(records, vectors, seed)

    drawers: dict[str, Callable[[], Figure]] = {
        "states": lambda: state_bars(everyone.graph, models),
        "rates": lambda: rate_curve(rates),
    }
    if not any(models.values()):
        del drawers["states"]
    if chosen:
        drawers |= {"ranking": ranking, "clusters": clusters}
    if model is not None and chosen and split.graph == model.graph:
        network = model
        targets = [identity_direction(embed, split, query) for query in chosen]
        if network.recovers:
            drawers["recovered"] = lambda: recovered_figure(network, samples)
        drawers["activation"] = lambda: activation_figure(network, samples, targets)
    drawings: list[Drawing] = []
    words = captions(split.graph)
    for number, (name, draw) in enumerate(drawers.items()):
        notify(f"drawing {name}", number, len(drawers))
        drawings.append(Drawing(name, words[name], render(draw)))
    return drawings


def not_drawn(drawings: Sequence[Drawing], model: DENet | None) -> str:
    """Which figures a set did not allow, in one line; "" for none."""
    expected = ["states", "rates", "ranking", "clusters"]
    if model is not None:
        expected += ["recovered", "activation"] if model.recovers else ["activation"]
    drawn = {drawing.name for drawing in drawings}
    absent = [name for name in expected if name not in drawn]
    if not absent:
        return ""
    return (
        f"not drawn: {', '.join(absent)}: no query that has everything has a match that has "
        "everything"
    )
