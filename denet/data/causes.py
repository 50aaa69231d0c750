"""What is wrong with a data set, told by cause: a thousand files with one fault are one line."""

from __future__ import annotations

import re


class Causes:
    """Lines that say what is wrong, each cause once, with how often it was met."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, where: str, why: str, cause: str = "") -> None:
        """Take in a fault.

        Args:
            where: the file or the sample, for the line.
            why: what is wrong there.
            cause: what faults of one line have in common; by default `why` but for its numbers.
        """
        key = cause or re.sub("[0-9]+", "", why)
        self._first.setdefault(key, (where, why))
        self._counts[key] = self._counts.get(key, 0) + 1

    def lines(self) -> list[str]:
        """One line for each cause, in the order in which they were met."""
        lines = []
        for key, (where, why) in self._first.items():
            more = self._counts[key] - 1
            lines.append(f"{where}{f' (and {more} more)' if more else ''}: {why}")
        return lines
