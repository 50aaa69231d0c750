"""The reference of the command line, read off the program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

PANEL_BREAK = "\b"


def reference(app: typer.Typer, name: str = "denet") -> str:
    """A section of Markdown for each command, in the order of `--help`."""
    command = typer.main.get_command(app)
    context = command.make_context(name, [], resilient_parsing=True)
    return "\n".join(line for part in _sections(command, context, name, 2) for line in part)


def _sections(command: Any, context: Any, name: str, level: int) -> Iterator[list[str]]:
    """The sections of the commands below `command`."""
    for each in command.list_commands(context):
        inner = command.get_command(context, each)
        called = f"{name} {each}"
        inner_context = inner.make_context(called, [], parent=context, resilient_parsing=True)
        yield [f"{'#' * level} {called}", "", _plain(inner.help or ""), ""]
        yield _usage(inner, inner_context, called)
        yield from ([_table(rows)] for rows in _parameters(inner, inner_context) if rows)
        if hasattr(inner, "list_commands"):
            yield from _sections(inner, inner_context, called, level + 1)


def _usage(command: Any, context: Any, called: str) -> list[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    return ["```text", f"{called} {pieces}".strip(), "```", ""]


def _parameters(command: Any, context: Any) -> Iterator[list[tuple[str, str]]]:
    """The arguments of a command, then its options, each with what it is for."""
    for kind in ("argument", "option"):
        records = [
            parameter.get_help_record(context)
            for parameter in command.get_params(context)
            if parameter.param_type_name == kind
        ]
        yield [(name, _plain(told)) for name, told in filter(None, records)]


def _table(rows: list[tuple[str, str]]) -> str:
    lines = ["| | |", "|---|---|"]
    for name, told in rows:
        cells = (f"`{name}`", told)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    """Help without the marks of the terminal."""
    text = text.replace(PANEL_BREAK, "")
    text = re.sub(r"(?<!\\)\[/?(?:b|i|bold|italic|dim)\]", "**", text).replace("\\[", "[")
    return " ".join(text.split("\f")[0].split()) if "\n\n" not in text else text.strip()
