"""What commands print: lines, tables, progress, errors that a user can mend.

What is printed may hold anybody's names, so it is shown as it is: no markup, no emoji, no control
characters. Imports no more than the terminal needs: `denet --help` is quick.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from denet.errors import DenetError
from denet.mishaps import why_outside
from denet.packages import why_missing
from denet.secrets import redacted

LONGEST = 2000
"""Characters of an error. What is longer repeats a file."""

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"  # controls, and what no encoding has
    "\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # what turns the direction of writing
)


def printable(text: str) -> str:
    """`text` with what would move the cursor, end a line in secret or cannot be encoded escaped."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class PlainConsole(Console):
    """Shows texts as they are: what looks like markup, an emoji or an escape is somebody's name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As of `Console`, of a text that does nothing, and takes the room that it will take."""
        return super().render_str(printable(text), **options)

    def render(self, *asked: Any, **options: Any) -> Iterable[Segment]:
        """As of `Console`, of texts that do nothing; its own movements are no texts."""
        for segment in super().render(*asked, **options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


out = PlainConsole()
err = PlainConsole(stderr=True)

Command = TypeVar("Command", bound=Callable[..., Any])

Notify = Callable[[str, float, int], None]
"""(what is done, how much of it is done, of how much; 0 where nobody knows)."""


def reported(*, extra: str | None = None) -> Callable[[Command], Command]:
    """Turn what the user or the world around can mend into one clear line and exit code 2.

    What else comes out of a command is a defect, and passes.

    Args:
        extra: what is to be installed for this command, beyond the needs of a camera node.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                check_numbers(kwargs)
                return command(*args, **kwargs)
            except DenetError as error:
                message = str(error)
            except BrokenPipeError:
                raise  # whoever read the output has enough
            except ModuleNotFoundError as error:
                reason = why_missing(error, extra)
                if reason is None:
                    raise
                message = reason
            except Exception as error:
                reason = why_outside(error)
                if reason is None:
                    raise
                message = reason
            say_error(message)
            raise typer.Exit(2)

        run.__doc__ = _flowing(command.__doc__)
        return run  # type: ignore[return-value]

    return decorate


def _flowing(text: str | None) -> str | None:
    """A docstring whose paragraphs have no ends of lines: help breaks lines where the terminal
    does."""
    if text is None:
        return None
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def check_numbers(options: Mapping[str, Any]) -> None:
    """See that the numbers of a command line are finite, and no larger than 64 bits hold.

    Raises:
        DenetError: one is not; names the option.
    """
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, float) and not math.isfinite(value):
            raise DenetError(f"{option} {value}: must be a finite number")
        if isinstance(value, int | float) and not -(1 << 63) <= value < 1 << 63:
            raise DenetError(f"{option}: {str(value)[:20]}... is too large a number")


def say(text: str) -> None:
    """Print a line as it is, however long: a program or a person may copy it."""
    out.print(text, highlight=False, soft_wrap=True)


def say_aside(text: str) -> None:
    """A line on standard error, as it is, from any thread."""
    err.print(redacted(text), highlight=False, soft_wrap=True)


def say_error(text: str) -> None:
    """An error in one line on standard error; of a very long one the beginning and the end."""
    text = redacted(text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    line = printable(re.sub(r"\s*[\n\r]\s*", " ", text.strip()))
    err.print(Text.assemble(("error:", "bold red"), f" {line}"), soft_wrap=True)


def print_json(facts: Any) -> None:
    """Facts for a program to read."""
    print(json.dumps(facts, indent=2))


def print_whole(table: Table) -> None:
    """A table in its full width: a terminal that is too narrow wraps it, and hides no column."""
    width = Measurement.get(out, out.options.update(width=400), table).maximum
    PlainConsole(width=max(out.width, width)).print(table)


@contextmanager
def status(what: str) -> Iterator[None]:
    """A line on standard error that says what is under way, gone when it is done."""
    with err.status(Text(what)):
        yield


@contextmanager
def progress(what: str, total: int = 0, *, shown: bool = True) -> Iterator[Notify]:
    """A bar on standard error, gone when it is done; yields what tells it how far things are, from
    which it estimates the time that is left. What is done is cut where a terminal is narrow; the
    bar and the time are not."""
    bar = Progress(
        TextColumn("{task.description}", markup=False, table_column=_column(ratio=1)),
        BarColumn(bar_width=12, table_column=_column()),
        MofNCompleteColumn(table_column=_column()),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=_column()),
        console=err,
        transient=True,
        disable=not shown,
        expand=True,
        speed_estimate_period=600,  # a step may take minutes
    )
    task = bar.add_task(printable(what), total=total or None)
    last: tuple[float, int] | None = None

    def tell(what: str, done: float, total: int) -> None:
        nonlocal last
        if last is None or done < last[0] or total != last[1]:
            # Begun anew, or gone on with: what was done before says nothing of the speed.
            bar.reset(task, total=total or None, completed=int(done), description=printable(what))
        last = done, total
        bar.update(task, description=printable(what), completed=done)

    with bar:
        yield tell


def _column(ratio: int | None = None) -> Column:
    return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)
