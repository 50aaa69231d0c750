"""Rivals in the tables: which, what was published of them, what they cost, and one run."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.errors import DenetError
from denet.experiments.catalog import EXPERIMENTS
from denet.experiments.figure import RATES
from denet.experiments.methods import (
    OF_TABLE,
    chosen_methods,
    with_complexity,
    with_methods,
)
from denet.experiments.published import TABLE_1, TABLE_2, TABLE_4
from denet.experiments.study import jobs_of, run_job
from denet.experiments.tables import ResultTable
from denet.recipe import PRESETS, read_recipe
from denet.rivals.catalog import METHODS
from tests.command import denet, tiny_recipe

PUBLISHED = {"table1": TABLE_1, "table2": TABLE_2, "table4": TABLE_4}


def test_every_method_is_in_one_table() -> None:
    assert sorted(name for names in OF_TABLE.values() for name in names) == sorted(METHODS)


@pytest.mark.parametrize("table", OF_TABLE)
def test_what_the_paper_says_of_a_method_stands_below_under_its_name(table: str) -> None:
    published = [row.partition(" (")[0].lower() for row in PUBLISHED[table]]
    assert {METHODS[name].label.lower() for name in OF_TABLE[table]} <= set(published)


def test_methods_are_chosen_by_table() -> None:
    assert chosen_methods(None, ["table1"]) == ()
    assert chosen_methods("all", ["table1"]) == OF_TABLE["table1"]
    assert set(chosen_methods("all", ["table1", "table2", "table4", "table5"])) == set(METHODS)
    assert chosen_methods("osnet,cal,osnet", ["table1", "table7"]) == ("osnet", "cal")


@pytest.mark.parametrize(
    ("text", "tables", "told"),
    [
        ("all", ["table5"], "table1, table2, table4"),
        ("osnett", ["table1"], "unknown method 'osnett'"),
        ("hc", ["table1"], "HC loss is in table2, which is not run"),
    ],
)
def test_methods_that_a_table_does_not_have_are_refused(
    text: str, tables: list[str], told: str
) -> None:
    with pytest.raises(DenetError, match=told):
        chosen_methods(text, tables)


def test_their_rows_come_first_in_every_block() -> None:
    plain = EXPERIMENTS["table1"]
    assert with_methods("table1", plain, ("hc",)) == plain
    found = with_methods("table1", plain, ("pfnet", "mlfn"))
    assert len(found.blocks) == len(plain.blocks) > 1
    for block, before in zip(found.blocks, plain.blocks, strict=True):
        assert [v.label for v in block.variants[:2]] == ["MLFN", "PFNet"]
        assert block.variants[2:] == before.variants
        assert block.published == before.published


def test_costs_stand_behind_the_columns_of_what_was_trained(tmp_path: Path) -> None:
    each = with_methods("table4", EXPERIMENTS["table4"], ("circle",))
    jobs = jobs_of([each], PRESETS["small"], 1, tmp_path)
    (block,) = each.blocks
    rows = tuple((v.label, "1.0") for v in block.variants)
    grid = with_complexity(
        ResultTable("title", ("mAP, %", "complete"), (*rows, ("published", "2.0"))), block, jobs
    )
    assert grid.heads == ("mAP, %", "complete", "GFLOP", "million parameters")
    assert grid.rows[-1] == ("published", "2.0", "-", "-")
    costs = {row[0]: tuple(map(float, row[2:])) for row in grid.rows[:-1]}
    assert costs["DENet"][0] > costs["Circle loss"][0] > 0
    assert costs["DENet"][1] > costs["Circle loss"][1] == 14.7  # three ResNets of one block a stage


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(path, SyntheticConfig(identities=8, cameras=2, shots=2, height=32, width=16))
    return path


def test_a_rival_is_trained_measured_and_kept_beside_denet(root: Path, tmp_path: Path) -> None:
    toml, out = tmp_path / "tiny.toml", tmp_path / "out"
    toml.write_text(tiny_recipe(epochs=1, graph_epochs=0, workers=0))
    each = with_methods("table4", EXPERIMENTS["table4"], ("dmml",))
    rival, *others = jobs_of([each], read_recipe("small", toml), 1, out)
    run_job(rival, root, 1)
    result = json.loads(rival.result.read_text())
    matrix = result["facts"]["matrix"]
    assert len(matrix) == 7 * 7
    assert len(result["facts"]["missing_rate"]) == len(RATES)
    assert {f"{s} / {s}": found for s, found in result["facts"]["states"].items()} == {
        pair: found for pair, found in matrix.items() if len(set(pair.split(" / "))) == 1
    }
    for job in others:  # as if they were trained
        job.run.mkdir(parents=True)
        content = result | {"recipe": msgspec.to_builtins(job.recipe)}
        job.result.write_text(json.dumps(content))

    trained = (rival.run / "rival.pt").stat().st_mtime_ns
    call = ["experiment", "table4", root, "--out", out, "--preset", "small", "--config", toml,
            "--seeds", 1, "--methods", "dmml"]  # fmt: skip
    shown = denet(*call)
    assert shown.exit_code == 0, shown.output
    assert (rival.run / "rival.pt").stat().st_mtime_ns == trained
    lines = (out / "table4.md").read_text().splitlines()
    heads, _, *rows = [line for line in lines if line.startswith("|")]
    assert heads.endswith("| GFLOP | million parameters |")
    complete = f"{result['facts']['states']['rgb+nir+tir']['mAP']:.1f}"
    assert rows[0].startswith(f"| DMML | {complete} |")
    below = [row.partition(",")[0] for row in rows[1 + len(others) :]]
    assert below == [f"| {label}" for label in TABLE_4]
