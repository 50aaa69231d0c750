"""What is read off runs, and the tables of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from denet.experiments import published
from denet.experiments.catalog import (
    EXPERIMENTS,
    every_state,
    missing_one,
)
from denet.experiments.catalog import experiment as named
from denet.experiments.figure import (
    RATES,
    at_rates,
    cross_modality,
    each_state,
    in_state,
    means,
    means_and_half,
)
from denet.experiments.published import TABLE_7, Published
from denet.experiments.tables import ResultTable, mean_and_spread, tabulate
from denet.graph import RGB_NIR_TIR
from tests.denet.experiments.results import (
    PAIRS,
    STATES,
    WRITTEN_RATES,
    fabricated,
    with_results,
)


def test_the_figures_read_their_cells() -> None:
    facts = fabricated()
    states, matrix, rates = facts["states"], facts["matrix"], facts["missing_rate"]

    def read(figures: Sequence[object]) -> dict[str, float]:
        return {f.name: f.read(facts) for f in figures}  # type: ignore[attr-defined]

    whole = "rgb+nir+tir"
    for metric in ("mAP", "R1", "R5", "R10"):
        expected = {
            f"{metric} {'complete' if s.name == whole else s.name}": matrix[f"{s.name} / {s.name}"][
                metric
            ]
            for s in STATES
        }
        assert read(each_state(RGB_NIR_TIR, metric)) == expected
        assert read([in_state(RGB_NIR_TIR, STATES[0], metric)]) == {
            f"{metric} complete": matrix[f"{whole} / {whole}"][metric]
        }
    one = [states[name]["mAP"] for name in ("rgb+nir", "rgb+tir", "nir+tir")]
    two = [states[name]["mAP"] for name in ("rgb", "nir", "tir")]
    grouped = {
        "mAP complete": states[whole]["mAP"],
        "mAP one missing": sum(one) / 3,
        "mAP two missing": sum(two) / 3,
        "mAP mean of missing": sum(one + two) / 6,
    }
    assert read(means(RGB_NIR_TIR)) == pytest.approx(grouped)
    half = {"mAP 50%": rates["0.5"]["mAP"]}
    assert read(means_and_half(RGB_NIR_TIR)) == pytest.approx(grouped | half)
    assert set(read(every_state(RGB_NIR_TIR))) == set(read(each_state(RGB_NIR_TIR))) | set(
        list(grouped)[1:]
    )
    crossed = {f"mAP {q} -> {g}": matrix[f"{q} / {g}"]["mAP"] for q, g in PAIRS}
    assert read(cross_modality(RGB_NIR_TIR)) == pytest.approx(
        crossed | {"mAP mean": sum(crossed.values()) / len(PAIRS)}
    )
    assert read(at_rates(RGB_NIR_TIR)) == {
        f"mAP {100 * rate:.0f}%": rates[str(rate)]["mAP"] for rate in WRITTEN_RATES
    }
    assert pytest.approx(WRITTEN_RATES) == RATES
    table2 = {
        f"{metric} {name}": matrix[cell][metric]
        for name, cell in (
            ("rgb+tir", "rgb+tir / rgb+tir"),
            ("rgb -> tir", "rgb / tir"),
            ("tir -> rgb", "tir / rgb"),
            ("rgb+nir", "rgb+nir / rgb+nir"),
            ("rgb -> nir", "rgb / nir"),
            ("nir -> rgb", "nir / rgb"),
        )
        for metric in ("mAP", "R1")
    }
    assert read(missing_one(RGB_NIR_TIR)) == table2
    (block,) = named("states").blocks
    assert read(block.figures(RGB_NIR_TIR)) == {
        f"mAP {cell}": matrix[cell]["mAP"]
        for cell in ("rgb+nir+tir / rgb+tir", "rgb+nir+tir / rgb", "rgb+tir / rgb", "rgb / tir")
    }


@pytest.mark.parametrize("values", [[40.0, 44.0], [1.25, 7.5, 3.0, 99.5]])
def test_a_measurement_is_the_mean_and_the_sample_deviation(values: list[float]) -> None:
    assert mean_and_spread(values) == f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"
    assert mean_and_spread(values[:1]) == f"{values[0]:.1f}"


GRID = ResultTable(
    "A title", ("mAP, %", "x", "y"), (("one", "1.0", "2.0 ± 0.1"), ("two", "3.0", "-"))
)


def test_a_grid_in_markdown_and_for_a_terminal() -> None:
    assert GRID.markdown() == (
        "| mAP, % | x | y |\n| --- | ---: | ---: |\n| one | 1.0 | 2.0 ± 0.1 |\n| two | 3.0 | - |\n"
    )
    table = GRID.for_terminal()
    assert [column.header for column in table.columns] == ["mAP, %", "x", "y"]
    assert [list(column.cells) for column in table.columns] == [
        ["one", "two"], ["1.0", "3.0"], ["2.0 ± 0.1", "-"]
    ]  # fmt: skip


@pytest.mark.parametrize("name", [n for n, each in EXPERIMENTS.items() if each.blocks])
def test_a_table_has_our_rows_and_then_the_published_ones(name: str, tmp_path: Path) -> None:
    each, facts = named(name), fabricated()
    grids = tabulate(each, with_results(each, tmp_path, facts))
    assert len(grids) == len(each.blocks)
    for grid, block in zip(grids, each.blocks, strict=True):
        figures = {f.name: f"{f.read(facts):.1f}" for f in block.figures(RGB_NIR_TIR)}
        assert grid.heads == ("%", *figures)
        own, told = grid.rows[: len(block.variants)], grid.rows[len(block.variants) :]
        assert own == tuple((v.label, *figures.values()) for v in block.variants)
        assert [row[0] for row in told] == [f"{method}, published" for method in block.published]
        for row, numbers in zip(told, block.published.values(), strict=True):
            shown = dict(zip(grid.heads[1:], row[1:], strict=True))
            expected = {h: f"{numbers[h]:.1f}" for h in figures if h in numbers}
            assert {h: cell for h, cell in shown.items() if cell != "-"} == expected


def test_every_published_figure_is_shown() -> None:
    def shown(name: str) -> set[tuple[str, str]]:
        return {
            (method, column)
            for block in named(name).blocks
            for method, row in block.published.items()
            for column in {f.name for f in block.figures(RGB_NIR_TIR)} & set(row)
        }

    def printed(*tables: Published) -> set[tuple[str, str]]:
        return {(method, c) for rows in tables for method, row in rows.items() for c in row}

    for number in range(1, 7):
        assert shown(f"table{number}") == printed(getattr(published, f"TABLE_{number}"))
    assert shown("table7") == printed(*TABLE_7.values())
