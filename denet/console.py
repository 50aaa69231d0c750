"""What commands print: lines, tables, progress, errors that a user can mend.

Imports no more than the terminal needs: `denet --help` is quick.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from denet.errors import DenetError
from denet.packages import why_missing
from denet.secrets import redacted

out = Console()
err = Console(stderr=True)

Command = TypeVar("Command", bound=Callable[..., Any])

Notify = Callable[[str, float, int], None]
"""(what is done, how much of it is done, of how much)."""


def reported(*, extra: str | None = None) -> Callable[[Command], Command]:
    """Turn an error that the user can mend into one clear line and exit code 2.

    Args:
        extra: what is to be installed for this command, beyond the needs of a camera node.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return command(*args, **kwargs)
            except DenetError as error:
                message = str(error)
            except ModuleNotFoundError as error:
                reason = why_missing(error, extra)
                if reason is None:
                    raise
                message = reason
            say_error(message)
            raise typer.Exit(2)

        return run  # type: ignore[return-value]

    return decorate


def say(text: str) -> None:
    """Print a line as it is, however long: a program or a person may copy it."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def say_aside(text: str) -> None:
    """A line on standard error, as it is, from any thread."""
    err.print(redacted(text), highlight=False, markup=False, soft_wrap=True)


def say_error(text: str) -> None:
    """An error in one line on standard error."""
    err.print(f"[bold red]error:[/] {escape(redacted(text))}", highlight=False, soft_wrap=True)


def print_json(facts: Any) -> None:
    """Facts for a program to read."""
    print(json.dumps(facts, indent=2))


def print_whole(table: Table) -> None:
    """A table in its full width: a terminal that is too narrow wraps it, and hides no column."""
    width = Measurement.get(out, out.options.update(width=400), table).maximum
    Console(width=max(out.width, width)).print(table)


@contextmanager
def progress(what: str, total: int = 0, *, shown: bool = True) -> Iterator[Notify]:
    """A bar on standard error, gone when it is done; yields what tells it how far things are."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not shown,
    )
    task = bar.add_task(what, total=total)
    with bar:
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )
