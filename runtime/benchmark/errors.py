"""The error of a benchmark that a user can mend."""

from __future__ import annotations

from denet.errors import DenetError


class BenchmarkError(DenetError):
    """What was asked cannot be measured, read or written; the message names it."""
