"""What commands print: lines, tables, progress, errors that a user can mend.

Imports no more than the terminal needs: `denet --help` is quick.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from denet.errors import DenetError

out = Console()
err = Console(stderr=True)

Command = TypeVar("Command", bound=Callable[..., Any])

Notify = Callable[[str, float, int], None]
"""(what is done, how much of it is done, of how much)."""

EXTRAS = {
    "train": {
        "jinja2",
        "lightning_fabric",
        "matplotlib",
        "onnx",
        "onnxscript",
        "pytorch_metric_learning",
        "safetensors",
        "sklearn",
        "timm",
        "torch",
        "torchvision",
    },
    "calibrate": {"jinja2", "matplotlib", "onnx", "onnx_ir"},
}
"""The packages of an extra, by the names that they are imported by."""

OWN = {"__main__", "calibration", "cli", "denet", "export", "runtime"}
"""The packages of this program; `cli` may be run as a script."""


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
                told = _told(error, extra)
                if told is None:
                    raise
                message = told
            say_error(message)
            raise typer.Exit(2)

        return run  # type: ignore[return-value]

    return decorate


def _told(error: ModuleNotFoundError, extra: str | None) -> str | None:
    """What to do about a module that is missing; None where it is a mistake in this program."""
    missing = error.name or ""
    package = missing.partition(".")[0]
    if not package or package in OWN:
        return None
    absent = _is_absent(package)
    if absent and missing == package and extra is not None and package in EXTRAS[extra]:
        return (
            f"this command needs {package}, which a camera node does not have: "
            f"pip install '.[{extra}]'"
        )
    # A package that is installed lacks a part of its own, or one that it needs.
    if not absent:
        return f"the package {package} is broken: it has no {missing}: install it anew"
    importer = _importer(error)
    if importer in OWN:
        return None
    return f"the package {importer} is broken: it needs {missing}, which is not there"


def _is_absent(package: str) -> bool:
    try:
        return find_spec(package) is None
    except ValueError:  # it is loaded, and does not tell from where
        return False


def _importer(error: ModuleNotFoundError) -> str:
    """The package whose code looked for the missing module."""
    packages = []
    trace = error.__traceback__
    while trace is not None:
        packages.append(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
        trace = trace.tb_next
    return next(package for package in reversed(packages) if package != "importlib")


def say(text: str) -> None:
    """Print a line as it is, however long: a program or a person may copy it."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def say_aside(text: str) -> None:
    """A line on standard error, as it is, from any thread."""
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def say_error(text: str) -> None:
    """An error in one line on standard error."""
    err.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


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


def counted(notify: Notify, what: str, total: int) -> Callable[[int], None]:
    """What tells `notify` of the whole, when told of so many more that are done."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        notify(what, done, total)

    return add


def stepwise(notify: Notify, total: int) -> Callable[[str], None]:
    """What tells `notify` of the whole, when told of each of `total` steps."""
    done = 0

    def step(what: str) -> None:
        nonlocal done
        done += 1
        notify(what, done, total)

    return step
