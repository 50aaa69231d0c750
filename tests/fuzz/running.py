"""Gives a reader damaged files, and sees what it makes of them."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from denet.errors import DenetError
from denet.mishaps import why_outside
from tests.deadline import HangError, deadline
from tests.fuzz.mutations import Damaged, damaged

LONGEST = 10.0
"""Seconds that reading one file may take."""

LINE = 4000
"""Characters of a message: the line that is printed is cut, but what is told should be no file."""


@dataclass(frozen=True)
class Reader:
    """What reads one kind of file.

    Attributes:
        name: of the kind.
        samples: whole files of it.
        put: writes a content where `use` finds it.
        use: reads it, and does what is done with it; gives an answer that can be compared.
        right: whether an answer is that of a whole file; None where a change is somebody's right.
    """

    name: str
    samples: tuple[bytes, ...]
    put: Callable[[bytes], None]
    use: Callable[[], Any]
    right: Callable[[Any], bool] | None


@dataclass
class Tally:
    """What became of the cases of one reader."""

    name: str
    cases: int = 0
    refused: int = 0
    answered: int = 0
    slowest: float = 0.0
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0


class ChangeError(AssertionError):
    """A damaged file gave another answer, and nobody was told."""


@contextmanager
def bounded() -> Iterator[None]:
    """Ends what takes too long; what cannot be interrupted ends the process, with a traceback."""
    faulthandler.dump_traceback_later(60 * LONGEST, exit=True, file=sys.__stderr__)
    try:
        with deadline(LONGEST):
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def judge(reader: Reader, content: bytes, tally: Tally) -> None:
    """One case.

    Raises:
        ChangeError: the answer is another, and nobody was told.
        HangError: it takes too long.
        Exception: a traceback, as a user would see it.
    """
    reader.put(content)
    began = time.monotonic()
    try:
        with bounded():
            answer = reader.use()
    except DenetError as error:
        if len(str(error)) > LINE:
            raise AssertionError(f"a message of {len(str(error))} characters") from error
        tally.refused += 1
    except Exception as error:
        if isinstance(error, (HangError, UnicodeError)) or why_outside(error) is None:
            raise
        tally.refused += 1
    else:
        if reader.right is not None and not reader.right(answer):
            raise ChangeError(f"{reader.name}: another answer in silence: {str(answer)[:300]}")
        tally.answered += 1
    tally.cases += 1
    tally.slowest = max(tally.slowest, time.monotonic() - began)


def fuzz(reader: Reader, cases: int, number: int = 0) -> Tally:
    """Give a reader so many cases, the same for the same number.

    Raises: as `judge`, for the smallest case that was found.
    """
    tally = Tally(reader.name)
    judge(reader, reader.samples[0], tally)
    if not tally.answered:
        raise AssertionError(f"{reader.name}: a whole file is refused")
    tally.cases = tally.answered = 0

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(reader.samples))
    def case(found: Damaged) -> None:
        judge(reader, found.content(), tally)

    case()
    tally.seconds = time.monotonic() - tally.began
    return tally


def in_file(path: Path) -> Callable[[bytes], None]:
    """What puts a content into a file."""
    return lambda content: _write(path, content)


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # it may be a link to a file that is whole
    path.write_bytes(content)
