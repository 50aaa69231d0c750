"""The command line as the tests call it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

import typer.testing
from typer.testing import CliRunner, Result

import cli
from tests.conftest import TINY

# A call builds all commands anew, which takes longer than most of them.
typer.testing._get_command = functools.cache(typer.testing._get_command)


def denet(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def tiny_recipe(**train: object) -> str:
    """The TOML of a recipe that trains in seconds, with these values in its table `[train]`."""
    names = ("backbone", "image_size", "cmft_width", "dem_channels")
    model = {name: getattr(TINY, name) for name in names}
    return _table("model", model) + _table("train", {"identities": 2, "instances": 2} | train)


def _table(name: str, values: Mapping[str, object]) -> str:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    return f"[{name}]\n{lines}"


def refused(result: Result, *words: str) -> None:
    """Exit code 2, and one line on standard error that holds `words`."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    line = " ".join(result.stderr.split())
    assert line.startswith("error: "), line
    for word in words:
        assert word in line, line
