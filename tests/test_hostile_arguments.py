"""Every command, with arguments that nobody would type: one line and exit code 2, at once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import cli
from tests.command import denet, refused
from tests.deadline import deadline

LIMIT = 60
"""Seconds within which a command has to end: what hangs would hang for ever."""


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command, as its function declares it."""

    name: str
    kind: str
    option: str | None
    required: bool


def parameters(command: Any) -> list[Parameter]:
    found = []
    for each in inspect.signature(command, eval_str=True).parameters.values():
        kind, info = get_args(each.annotation)
        declared = (info.default, *(info.param_decls or ()))
        names = [name for name in declared if isinstance(name, str) and name.startswith("--")]
        option = (names or [f"--{each.name.replace('_', '-')}"])[0]
        is_argument = type(info).__name__ == "ArgumentInfo"
        found.append(
            Parameter(
                each.name,
                str(kind),
                None if is_argument else option,
                each.default is inspect.Parameter.empty,
            )
        )
    return found


def leaves() -> Iterator[tuple[tuple[str, ...], list[Parameter]]]:
    """The commands that do something, with their parameters."""
    for name, command in cli.COMMANDS.items():
        if isinstance(command, typer.Typer):
            if command.registered_callback is not None:
                yield (name,), parameters(command.registered_callback.callback)
            for inner in command.registered_commands:
                called = inner.name or str(inner.callback.__name__)  # type: ignore[union-attr]
                yield (name, called), parameters(inner.callback)
        else:
            yield (name,), parameters(command)


COMMANDS = dict(leaves())


GALLERIES = ("setting", "source", "target")
"""Arguments that name a gallery: a file, or a URL."""


def is_path(parameter: Parameter) -> bool:
    return "Path" in parameter.kind or parameter.name in GALLERIES


def is_number(parameter: Parameter) -> bool:
    return "int" in parameter.kind or "float" in parameter.kind


def arguments(command: list[Parameter], given: dict[str, str]) -> list[str]:
    """The command's arguments: what is given, and something for all else that it needs."""
    options, positional = [], []
    for parameter in command:
        if parameter.name not in given and not parameter.required:
            continue
        value = given.get(parameter.name, "1" if is_number(parameter) else "none")
        if parameter.option is None:
            positional.append(value)
        else:
            options += [parameter.option, value]
    return [*options, "--", *positional]


def long(_: Path) -> str:
    return "n" * 300


def through_a_file(folder: Path) -> str:
    (folder / "file").write_text("no folder")
    return str(folder / "file" / "inside")


def not_utf8(folder: Path) -> str:
    return os.fsdecode(os.fsencode(folder) + b"/gone/\xff\xfe")


def markup(folder: Path) -> str:
    return str(folder / "x[/b][red]")


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def circle(folder: Path) -> str:
    (folder / "circle").symlink_to("circle")
    return str(folder / "circle")


def escapes(folder: Path) -> str:
    return str(folder / "gone" / "\x1b[2J\nerror: all is well")


HOSTILE = [long, through_a_file, not_utf8, markup, pipe, circle, escapes]

WITH_PATHS = [name for name, command in COMMANDS.items() if any(map(is_path, command))]


def test_nearly_every_command_has_a_path() -> None:
    assert len(WITH_PATHS) >= 25
    assert len(WITH_PATHS) >= len(COMMANDS) - 3


@pytest.mark.parametrize("name", WITH_PATHS, ids=" ".join)
@pytest.mark.parametrize("make", HOSTILE)
def test_any_path_is_one_line(
    name: tuple[str, ...], make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    command, value = COMMANDS[name], make(tmp_path)
    paths = [each.name for each in command if is_path(each)]
    for given in [{path: value} for path in paths] + [dict.fromkeys(paths, value)]:
        with deadline(LIMIT):
            result = denet(*name, *arguments(command, given))
        refused(result)
        assert "\x1b" not in result.stderr
        assert "\n" not in result.stderr.strip()
        assert not list((tmp_path / "here").iterdir()), given


WITH_NUMBERS = [
    (name, parameter.name)
    for name, command in COMMANDS.items()
    for parameter in command
    if is_number(parameter)
]


NUMBERS = ["nan", "inf", "-1e999", "9" * 30, "9" * 5000, "-9" * 20, "1e400"]


@pytest.mark.parametrize("number", NUMBERS)
def test_any_number_is_refused(
    number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, parameter in WITH_NUMBERS:
        command = COMMANDS[name]
        with deadline(LIMIT):
            result = denet(*name, *arguments(command, {parameter: number}))
        assert result.exit_code == 2, (name, parameter, result.output)
        assert "Traceback" not in result.output
        assert len(result.stderr) < 3000
    assert not list(tmp_path.iterdir())
