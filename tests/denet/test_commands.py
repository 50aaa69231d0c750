"""Synthesis, training and evaluation from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

import cli
from denet.data.records import DataSet
from denet.figures.drawing import DOTS
from denet.graph import RGB_NIR_TIR
from denet.run import BEST
from tests import command
from tests.command import tiny_recipe

STATES = RGB_NIR_TIR.states


def denet(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_synthesis_to_evaluation(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    denet("synth", data, "--identities", 8, "--cameras", 2, "--shots", 2, "--height", 32,
          "--width", 16)  # fmt: skip
    assert "train" in denet("data", data)
    recipe = tmp_path / "r.toml"
    recipe.write_text(tiny_recipe(epochs=1, graph_epochs=1, workers=0))
    assert BEST in denet("train", data, "--out", run, "--preset", "small", "--config", recipe)
    text = denet("eval", run / BEST, data, "--missing-rate", "0.5", "--matrix", "--json")
    facts = json.loads(text)
    assert list(facts["states"]) == [state.name for state in STATES]
    assert len(facts["matrix"]) == 49
    assert facts["missing_rate"]["0.5"]["queries"] == 16
    assert "mean" in denet("eval", run / BEST, data)
    page = tmp_path / "report.html"
    denet("report", data, run / BEST, "--out", page)
    with Image.open(run / "curves.png") as curves:
        assert f'width="{curves.width // DOTS}"' in page.read_text().partition("was trained")[2]


def test_a_picture_of_somebody_else_is_seen_before_the_training(
    small_set: DataSet, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "curves.png").write_bytes(b"precious")
    command.refused(
        command.denet("train", small_set.root, "--out", run, "--preset", "small"),
        "curves.png",
        "not a",
    )
    assert [(p.name, p.read_bytes()) for p in run.iterdir()] == [("curves.png", b"precious")]


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        ("data", tmp_path / "none"),
        ("train", tmp_path / "empty", "--out", tmp_path / "run"),
        ("eval", tmp_path / "none.safetensors", tmp_path / "empty"),
        ("synth", tmp_path / "empty"),
        ("synth", tmp_path / "new", "--identities", "1"),
    ):
        result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
        assert result.exit_code == 2, result.output
        assert result.stderr.strip().startswith("error: ")
        assert "Traceback" not in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]
