"""Options in groups: a dataclass on the inside, an option for each field on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from denet.console import reported
from denet.options import BundleArg, ImageOptions, JsonOpt, RuntimeOptions, grouped


@dataclass(frozen=True)
class Needed:
    """One that must be given."""

    to: Annotated[Path, typer.Option("--out", help="A place.")]


@reported()
@grouped
def command(
    bundle: BundleArg,
    *,
    needed: Needed,
    single: ImageOptions,
    batch: Annotated[int, typer.Option()] = 4,
    running: RuntimeOptions,
    as_json: JsonOpt = False,
) -> None:
    """Say what came."""
    print(bundle, needed.to, single.files, batch, running, as_json)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return app


def test_the_fields_are_options_in_their_place(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "Say what came." in shown
    options = ("--out", "--rgb", "--nir", "--tir", "--batch", "--backend", "--threads", "--json")
    places = [shown.index(option) for option in options]
    assert places == sorted(places)


def test_a_group_gets_what_was_given_and_its_defaults(app: typer.Typer) -> None:
    given = ["b.denet", "--out", "o", "--tir", "t.png", "--threads", "2", "--backend", "ort-cpu"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    files = {"rgb": None, "nir": None, "tir": Path("t.png")}
    running = RuntimeOptions("ort-cpu", "auto", 2)
    assert result.output.strip() == f"b.denet o {files} 4 {running} False"


def test_a_field_without_a_default_must_be_given(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["b.denet"]).exit_code == 2
