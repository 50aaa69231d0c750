"""A table as data: the terminal and the page show the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: above it.
        heads: of the columns; the first column names the rows.
        rows: cells as they are shown, as many as there are heads.
        note: below it, what its columns are.
        bad: the rows that show something a person should not trust or want.
        words: the columns beside the first that hold words, not numbers.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    bad: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()

    def for_terminal(self) -> Table:
        """The cells for a terminal, narrow: two blanks between columns, no frame."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for index, head in enumerate(self.heads):
            left = index == 0 or index in self.words
            table.add_column(head, justify="left" if left else "right", no_wrap=True)
        for index, row in enumerate(self.rows):
            table.add_row(*row, style="red" if index in self.bad else None)
        return table


def short(value: float) -> str:
    """A number above zero in three digits or so: 0.019, 1.76, 17.6, 176; "-0.5" below."""
    digits = next((n for n, least in enumerate((100, 10, 1)) if abs(value) >= least), 3)
    return f"{value:.{digits}f}"


def percent(share: float) -> str:
    """A share in per cent: 0.7, 4.1, 23."""
    value = 100 * share
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def megabytes(size: float) -> str:
    """Bytes in MB (10^6)."""
    return short(size / 1e6)
