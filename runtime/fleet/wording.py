"""How sure an answer is, in words: never a bare name."""

from __future__ import annotations

import math

PROBABLY = 0.001
"""False-match rate up to which two are "probably the same", where no other is asked for."""

DOUBT = 0.1
"""False-match rate above which nothing says that it is the same."""


def strangers(rate: float) -> str:
    """A false-match rate in words: "1 of 2,000 strangers would look so"."""
    if rate >= 0.5:
        return "most strangers would look so"
    count = 1 / rate
    # Two digits: it is measured no better than that.
    digits = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return f"1 of {round(count / digits) * digits:,.0f} strangers would look so"


def verdict(rate: float, probably: float) -> str:
    """What is said of two that are compared.

    Args:
        rate: the false-match rate at which they match.
        probably: up to which they are probably the same.
    """
    sure = (
        "probably the same" if rate <= probably else "perhaps" if rate <= DOUBT else "no sign of it"
    )
    return f"{sure}, {strangers(rate)}"


def by_chance(compared: int, rate: float) -> str:
    """How many strangers are to be expected among so many that were compared."""
    count = compared * rate
    about = "fewer than 0.1"
    if count >= 0.1:
        about = f"about {count:,.0f}" if count >= 10 else f"about {count:.1f}"
    return f"{about} of {compared:,} strangers would look so"
