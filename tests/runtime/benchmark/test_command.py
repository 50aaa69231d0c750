"""`denet bench` and `denet bench compare`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import cli
from denet.graph import RGB_NIR_TIR
from runtime.benchmark.files import read_report
from runtime.benchmark.result import BenchmarkReport
from tests.command import denet, refused
from tests.runtime.benchmark.reports import Page, a_report, written

STATES = RGB_NIR_TIR.states


@pytest.fixture
def short_bench(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("runtime.benchmark.turns.WARM_RUNS", 1)


@pytest.mark.usefixtures("short_bench")
def test_bench_measures_writes_and_compares(bundle_path: Path, tmp_path: Path) -> None:
    json_path, html = tmp_path / "a.json", tmp_path / "a.html"
    arguments = ["--only", "states", "--rounds", "2", "--backend", "ort-cpu"]
    done = denet("bench", bundle_path, *arguments, "--out", json_path, "--report", html)
    assert done.exit_code == 0, done.output
    assert "one sample, ms" in done.output
    for state in STATES:
        assert state.name in done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.json"]
    report = read_report(json_path)
    assert report.settings.parts == ("states",)
    assert len(Page(html.read_text()).sources) == 1
    again = denet("bench", "run", bundle_path, *arguments, "--json")
    assert again.exit_code == 0, again.output
    assert (
        msgspec.json.decode(again.stdout, type=BenchmarkReport, strict=False).bundle
        == report.bundle
    )
    compared = denet("bench", "compare", json_path, json_path)
    assert compared.exit_code == 0, compared.output
    assert "others did not change beyond the noise" in compared.output


def test_a_change_beyond_the_limit_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    old = written(tmp_path, "a.json", a_report())
    new = written(tmp_path, "b.json", a_report(1.2))
    assert denet("bench", "compare", old, new).exit_code == 0
    assert denet("bench", "compare", old, new, "--fail-above", "1.25").exit_code == 0
    failed = denet("bench", "compare", old, new, "--fail-above", "1.10")
    assert failed.exit_code == 1
    assert "ort-cpu fp32: rgb+nir+tir: 60.0 ms became 72.0 ms, 1.200 times" in failed.output
    assert denet("bench", "compare", new, old, "--fail-above", "1.10").exit_code == 0
    facts = json.loads(denet("bench", "compare", old, new, "--fail-above", "1.1", "--json").stdout)
    assert any(change["too_much"] for change in facts["changes"])


REFUSALS: dict[str, tuple[Callable[[Path], list[object]], tuple[str, ...]]] = {
    "no bundle": (lambda p: [p / "none.denet"], ("none.denet", "no such bundle")),
    "unknown part": (lambda p: [p / "b.denet", "--only", "latency"], ("'latency'", "states")),
    "batches": (lambda p: [p / "b.denet", "--batches", "0"], ("batches '0'",)),
    "out": (lambda p: [p / "b.denet", "--out", p / "x.txt"], ("x.txt", "written as .json")),
    "out exists": (lambda p: [p / "b.denet", "--out", p / "here.json"], ("here.json", "--force")),
    "report": (lambda p: [p / "b.denet", "--report", p / "no" / "x.html"], ("does not exist",)),
    "graphs": (lambda p: [p / "b.denet", "--monolithic", p / "none"], ("none", "no such folder")),
    "images": (lambda p: [p / "b.denet", "--images", p / "none"], ("none", "no such folder")),
    "precision": (lambda p: [p / "b.denet", "--precision", "int4"], ("'int4'",)),
    "no report": (lambda p: ["compare", p / "a.json", p / "a.json"], ("a.json", "no such report")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_one_line(case: str, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "b.denet").symlink_to(bundle_path)
    (tmp_path / "here.json").write_text("{}")
    arguments, words = REFUSALS[case]
    before = sorted(tmp_path.iterdir())
    refused(denet("bench", *arguments(tmp_path)), *words)
    assert sorted(tmp_path.iterdir()) == before


def test_help_is_of_both_commands() -> None:
    shown = denet("bench", "--help").output
    assert "denet bench BUNDLE" in shown
    assert "compare" in shown
    assert denet("bench").exit_code in (0, 2)  # help; by click's version
    names = [command.name for command in cli.bench.registered_commands]
    assert names == ["run", "compare"]
