"""The page of a report."""

from __future__ import annotations

import msgspec
import pytest

from denet.graph import Graph
from runtime.benchmark import page, plots
from runtime.benchmark.result import Variant
from runtime.benchmark.tables import sheets
from tests.runtime.benchmark.reports import Page, a_report, a_state


def test_a_page_holds_everything_that_it_shows() -> None:
    report = a_report(notes=("the machine was busy",))
    shown = Page(page.page(report))
    assert shown.open == []
    assert len(shown.sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in shown.sources)
    text = " ".join(shown.text.split())
    assert "Benchmark of /models/<b>demo</b>.denet" in text
    assert "the machine was busy" in text
    for sheet in sheets(report):
        assert all(cell in text for row in sheet.rows for cell in row)


def test_a_page_of_little_shows_little() -> None:
    variant = Variant(backend="ort-cpu", precision="fp32", reason="r", bytes=1)
    report = msgspec.structs.replace(
        a_report(variants={"ort-cpu fp32": variant}), images=None, roofs={}
    )
    assert Page(page.page(report)).sources == []


def test_a_bar_is_as_long_as_the_median() -> None:
    bar = page.stack(a_state("rgb", 24.0, 0.02, first=True))
    assert sum(bar.parts.values()) == pytest.approx(24.0)
    assert list(bar.parts)[-1] == "outside"


def test_a_bar_has_a_color_for_each_branch_and_each_other_kind() -> None:
    graph = Graph(("nir", "tir"))
    parts = dict.fromkeys(graph.plan(graph.complete).engines, 1.0) | {"outside": 0.5}
    (axes, *_) = plots.latency_figure({"a": {"nir+tir": plots.Stack(5.0, 6.0, parts)}}).axes
    _, labels = axes.get_legend_handles_labels()
    assert [label for label in labels if label != "p99"] == [
        "branch nir",
        "branch tir",
        "CMFTs",
        "DEM edges",
        "outside engines",
    ]
    colors = {bar.get_facecolor() for bar in axes.patches}
    assert len(colors) == 5
