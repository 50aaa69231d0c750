"""The pictures of the paper's Fig. 5 to 8, of finished runs.

Where a picture shows one network, it is that of the first seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure as Picture

from denet.data.records import DataSet
from denet.embedding_cache import EmbeddingCache
from denet.evaluate import Embed, Split
from denet.experiments.catalog import CAL, ExperimentError
from denet.experiments.figure import RATES, Figure, at_rate, in_state, means
from denet.experiments.rivals import RivalVariant, trained
from denet.experiments.study import Job, results
from denet.experiments.variants import BASELINES, DENET, GANS, TrainingVariant, swept
from denet.figures.choice import choose_queries
from denet.figures.clusters import choose_identities
from denet.figures.modalities import modalities_figure, modality_features
from denet.figures.ranking import ranked_lists, ranking_figure
from denet.figures.recovered_activation import recovered_activation_figure
from denet.figures.style import render
from denet.figures.sweep import Panel, sweep_figure
from denet.graph import Graph
from denet.subject import Subject, checkpoint_subject
from denet.testset import open_split

IDENTITIES = 5
"""Of Fig. 6, as in the paper."""

SAMPLES = 4
"""Of Fig. 7."""

SEED = 0
"""Of which samples are shown."""


def draw(name: str, jobs: Sequence[Job], data: DataSet) -> bytes:
    """The PNG of the experiment called `name`, whose jobs are finished.

    Raises:
        KeyError: it has no picture.
        DataError: an image cannot be read.
    """
    drawer = _DRAWERS[name]
    return render(lambda: drawer(jobs, data))


def _fig5(jobs: Sequence[Job], _: DataSet) -> Picture:
    graph = jobs[0].recipe.model.graph
    weights = (
        _weight_panel(jobs, graph, "rho", "L_rec"),
        _weight_panel(jobs, graph, "mu", "L_sim"),
    )
    rates = Panel(
        "Missing rate",
        "samples that lost modalities, %",
        [100 * rate for rate in RATES],
        {
            f"{metric}, {variant.label}": _values(
                jobs, variant, [at_rate(r, metric) for r in RATES]
            )
            for variant in BASELINES[::2]
            for metric in ("mAP", "R1")
        },
        logarithmic=False,
    )
    return sweep_figure((*weights, rates))


def _weight_panel(jobs: Sequence[Job], graph: Graph, weight: str, of: str) -> Panel:
    figures = (
        in_state(graph, graph.complete),
        in_state(graph, graph.complete, "R1"),
        means(graph)[-1],
    )
    points: list[tuple[float, TrainingVariant]] = sorted(
        (
            (float(getattr(job.recipe.train, weight)), variant)
            for variant in swept(weight)
            for job in [next(j for j in jobs if j.variant.key == variant.key)]
        ),
        key=lambda point: point[0],
    )
    return Panel(
        f"Weight of {of}",
        weight,
        [value for value, _ in points],
        {
            figure.name: [_values(jobs, variant, [figure])[0] for _, variant in points]
            for figure in figures
        },
        logarithmic=True,
    )


def _values(
    jobs: Sequence[Job], variant: TrainingVariant, figures: Sequence[Figure]
) -> list[list[float]]:
    """Of each figure, its value in each run of a variant."""
    facts = list(results(jobs, variant))
    return [[figure.of(each) for each in facts] for figure in figures]


def _fig6(jobs: Sequence[Job], data: DataSet) -> Picture:
    subject = _subject(jobs, DENET)
    model = subject.network("Fig. 6")
    records = choose_identities(_split(data, subject), SEED, IDENTITIES)
    return modalities_figure(modality_features(model, records), records, SEED)


def _fig7(jobs: Sequence[Job], data: DataSet) -> Picture:
    rows = {variant.label: _subject(jobs, variant) for variant in (GANS[1], DENET)}
    split = _split(data, rows[DENET.label])
    return recovered_activation_figure(
        {name: (row.network("Fig. 7"), EmbeddingCache(row.embed)) for name, row in rows.items()},
        split,
        choose_queries(split, SAMPLES, SEED),
    )


def _fig8(jobs: Sequence[Job], data: DataSet) -> Picture:
    denet = _subject(jobs, DENET)
    split = _split(data, denet)
    graph, first = split.graph, split.graph.modalities[0]
    seen = [state for state in graph.states if first in state.available]
    alone = graph.state([first])
    example, *more = choose_queries(split, 3, SEED)
    rows = {"DENet": denet.embed, CAL.label: _rival(jobs, CAL, data)}
    lists = ranked_lists(denet.embed, split, [example], seen)
    labels = [f"(a) {'complete' if s == graph.complete else s.name}" for s in seen]
    for query in more:
        for name, embed in rows.items():
            lists += ranked_lists(embed, split, [query], [alone])
            labels.append(f"(b) {name}")
    return ranking_figure(lists, denet.ranges, only=first, labels=labels)


def _subject(jobs: Sequence[Job], variant: TrainingVariant) -> Subject:
    """The network of a variant's first seed."""
    job = next(job for job in jobs if job.variant.key == variant.key)
    return checkpoint_subject(job.checkpoint)


def _rival(jobs: Sequence[Job], variant: RivalVariant, data: DataSet) -> Embed:
    """What embeds with a rival's network of the first seed."""
    job = next(job for job in jobs if job.variant.key == variant.key)
    return trained(variant.rival, job.recipe, job.training(data), job.run, lambda _: None)[1]


def _split(data: DataSet, subject: Subject) -> Split:
    """The complete samples. Raises: ExperimentError, if no query among them has a match."""
    split = open_split(data)
    if not split.supports(subject.graph.complete):
        raise ExperimentError(
            f"{data.root}: a picture shows complete samples, and no query that has "
            f"{', '.join(subject.graph.modalities)} has a match that has them"
        )
    return split.seen_by(subject.graph).within(subject.graph.complete)


_DRAWERS: Mapping[str, Callable[[Sequence[Job], DataSet], Picture]] = {
    "fig5": _fig5,
    "fig6": _fig6,
    "fig7": _fig7,
    "fig8": _fig8,
}
