"""Networks of one and of two modalities, trained and measured on a set of three."""

from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from denet.checkpoint import load_checkpoint
from denet.data.records import DataError, DataSet
from denet.evaluate import RANKS, Split
from denet.examine import examine
from denet.figures import draw_figures
from denet.figures.captions import captions
from denet.figures.choice import shown_states
from denet.graph import RGB_NIR_TIR, Graph, Modality
from denet.missing import draw_states
from denet.recipe import Recipe
from denet.report import choose_shown, make_report, report_facts, report_html
from denet.subject import checkpoint_subject
from denet.tables import comparison_rows, comparison_table, matrix_table
from denet.testset import open_split
from denet.train import train
from tests.denet.training import with_train

GRAPHS = [("rgb", "tir"), ("tir", "nir"), ("nir",)]


def of(modalities: tuple[Modality, ...], recipe: Recipe) -> Recipe:
    model = msgspec.structs.replace(recipe.model, modalities=modalities)
    return msgspec.structs.replace(recipe, model=model)


def words(table: Table) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=200).print(table)
    return text.getvalue().split()


@pytest.mark.parametrize("modalities", GRAPHS, ids="+".join)
def test_they_are_trained_stored_measured_and_shown(
    modalities: tuple[Modality, ...], small_set: DataSet, tmp_path: Path
) -> None:
    graph = Graph(modalities)
    recipe = of(modalities, with_train(epochs=1, states=1.0, validation=2))
    best = train(recipe, small_set, tmp_path / "run")
    model = load_checkpoint(best)
    assert model.config == recipe.model
    assert model.dim == graph.parts * model.channels
    assert set(model.engines) == set(graph.engines)
    subject = checkpoint_subject(best)
    assert set(subject.ranges) == set(graph.modalities)
    split = open_split(small_set)
    assert split.graph == RGB_NIR_TIR
    heard: list[tuple[int, int]] = []
    found = examine(
        subject,
        split,
        matrix=True,
        rates=(0.0, 1.0),
        recovery=model.recovers,
        notify=lambda _, done, total: heard.append((done, total)),
    )
    images = sum(len(state.available) for state in graph.states) * len(split.gallery)
    assert heard[0] == (0, images)
    assert heard[-1] == (images, images)
    assert found.split.graph == graph
    assert tuple(found.states) == graph.states
    assert set(found.matrix) == {(q, g) for q in graph.states for g in graph.states}
    assert found.rates[0.0].map == found.states[graph.complete].map
    assert set(found.recovery) == set(graph.pairs)
    drawings = draw_figures(
        found.split,
        found.embed,
        {"it": found.states},
        found.rates,
        model=subject.model,
        ranges=subject.ranges,
        seed=0,
    )
    names = list(captions(graph))
    assert [d.name for d in drawings] == [n for n in names if n != "recovered" or model.recovers]
    for drawing in drawings:
        with Image.open(io.BytesIO(drawing.png)) as image:
            assert len(image.convert("L").getcolors() or []) > 5
    shown = words(comparison_table("it", graph, {"it": found.states}))
    assert all(state.name in shown for state in graph.states)
    assert all(state.name in words(matrix_table(found.matrix)) for state in graph.states)


def test_their_report_has_their_states(small_set: DataSet, tmp_path: Path) -> None:
    best = train(of(("rgb", "tir"), with_train(epochs=1)), small_set, tmp_path / "run")
    subjects = {"it": checkpoint_subject(best)}
    report = make_report(
        small_set,
        open_split(small_set),
        subjects,
        choose_shown(subjects, None),
        seed=0,
        batch=8,
        workers=0,
    )
    assert report.graph == Graph(("rgb", "tir"))
    facts = report_facts(report)["models"]["it"]
    assert list(facts["states"]) == ["rgb+tir", "rgb", "tir"]
    assert list(facts["means"]) == ["mean, one missing", "mean, all states"]
    assert set(facts["states"]["rgb"]) == {"mAP", "queries", *(f"R{k}" for k in RANKS)}
    page = re.sub(r'base64,[^"]*', "", report_html(report))
    assert "rgb+tir" in page
    assert not re.search(r"\bnir\b", page)


def test_rows_of_a_comparison_follow_the_graph() -> None:
    graph = Graph(("tir", "rgb"))
    assert [row.name for row in comparison_rows(graph, [])] == [
        "tir+rgb", "tir", "rgb", "mean, one missing", "mean, all states"
    ]  # fmt: skip


def test_a_split_is_evaluated_in_what_set_and_model_both_have() -> None:
    split = Split((), (), Graph(("rgb", "tir")))
    assert split.seen_by(RGB_NIR_TIR).graph == split.graph
    assert split.seen_by(Graph(("tir", "nir", "rgb"))).graph == Graph(("tir", "rgb"))
    assert split.seen_by(Graph(("tir",))).graph == Graph(("tir",))
    with pytest.raises(DataError, match="takes nir, the set has rgb, tir"):
        split.seen_by(Graph(("nir",)))


def test_a_set_with_gaps_is_evaluated_in_each_state_that_some_can_be_in(
    small_set: DataSet,
) -> None:
    gap = small_set.query[0].within(RGB_NIR_TIR.parse("rgb+nir"))
    split = Split(small_set.query, (gap, *small_set.gallery[1:]))
    assert split.left_out(Graph(("rgb", "nir"))) == ""
    count = len(split.gallery)
    told = f"rgb+nir+tir {count} of {count} queries in {count - 1} of {count}"
    assert split.left_out(RGB_NIR_TIR).startswith(
        f"of the samples that can be in a state: {told}, rgb+tir"
    )
    assert split.seen_by(RGB_NIR_TIR).graph == RGB_NIR_TIR
    assert len(split.seen_by(Graph(("tir",))).gallery) == count - 1


@pytest.mark.parametrize(
    ("modalities", "names"),
    [
        (("rgb", "nir", "tir"), ["rgb+nir+tir", "nir+tir", "rgb"]),
        (("rgb", "tir"), ["rgb+tir", "tir", "rgb"]),
        (("tir",), ["tir"]),
    ],
)
def test_figures_show_everything_the_night_and_one_camera(
    modalities: tuple[Modality, ...], names: list[str]
) -> None:
    assert [state.name for state in shown_states(Graph(modalities))] == names


def test_captions_count_what_they_speak_of() -> None:
    three, two = captions(RGB_NIR_TIR), captions(Graph(("rgb", "tir")))
    assert "lost one or two modalities, drawn" in three["rates"]
    assert "lost one modality, drawn" in two["rates"]
    assert "by the six CMFTs." in three["recovered"]
    assert "by the two CMFTs." in two["recovered"]
    assert "identities, in three states:" in three["clusters"]
    assert "identities, in one state:" in captions(Graph(("rgb",)))["clusters"]


def test_nobody_loses_the_only_modality() -> None:
    two, one = Graph(("rgb", "tir")), Graph(("rgb",))
    assert set(draw_states(two, 100, 0.5, 0)) == set(two.states)
    assert sum(state != two.complete for state in draw_states(two, 100, 0.5, 0)) == 50
    assert draw_states(one, 10, 1.0, 0) == [one.complete] * 10


def test_a_normalization_of_another_modality_is_refused() -> None:
    model = {"modalities": ["rgb", "tir"], "normalization": {"nir": {}}}
    with pytest.raises(msgspec.ValidationError, match=r"unknown modality 'nir'.*rgb, tir"):
        msgspec.convert({"model": model}, Recipe)
