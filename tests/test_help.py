"""What `--help` shows of all commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

import cli


def commands_of(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        yield f"{name} {word}", command
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{name} {word}")


def test_help_says_what_stands_in_brackets() -> None:
    """What Rich takes for a style is not shown; the only one here is bold."""
    for name, command in commands_of(typer.main.get_command(cli.app), "denet"):
        texts = [command.help, *(getattr(param, "help", None) for param in command.params)]
        for text in filter(None, texts):
            styles = set(re.findall(r"(?<!\\)\[(/?[a-z][^\]]*)\]", text))
            assert styles <= {"b", "/b"}, f"{name}: {text}"


def test_help_breaks_lines_where_the_terminal_does() -> None:
    for name, command in commands_of(typer.main.get_command(cli.app), "denet"):
        for paragraph in (command.help or "").split("\n\n"):
            assert "\n" not in paragraph.strip(), name
