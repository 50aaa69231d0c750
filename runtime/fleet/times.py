"""Times as people write them: "yesterday", "14:30", "2h", "2026-03-14", "2026-03-14 21:15"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from runtime.fleet.errors import FleetError

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "days": 86400.0}

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|days|d)(?: ago)?")

FORMS = "write a date as 2026-03-14, a time as 14:30 or 2026-03-14T14:30, today, yesterday, or 2h"


@dataclass(frozen=True)
class Interval:
    """From when to when; seconds since 1970, None for any."""

    since: float | None = None
    until: float | None = None


ALWAYS = Interval()


def read_interval(since: str | None, until: str | None, now: float) -> Interval:
    """What a person asks for.

    Args:
        since, until: as `read_time` takes them; None for any.
        now: seconds since 1970.

    Raises:
        FleetError: one is no time, or they are the wrong way round.
    """
    found = Interval(
        None if since is None else read_time(since, "--since", now),
        None if until is None else read_time(until, "--until", now),
    )
    if found.since is not None and found.until is not None and found.since >= found.until:
        raise FleetError(f"--since {since} is not before --until {until}")
    return found


def read_time(text: str, option: str, now: float) -> float:
    """A time, by the clock of this place where the text names no other.

    Args:
        text: to read. A day is its first moment, a time without a day the last such.
        option: for messages.
        now: seconds since 1970.

    Raises:
        FleetError: it is none.
    """
    words = text.strip().lower()
    here = datetime.fromtimestamp(now)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": here, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if words in named:
        return named[words].timestamp()
    ago = _AGO.fullmatch(words)
    if ago is not None:
        return now - float(ago[1]) * UNITS[ago[2]]
    try:
        if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", words):
            hour, minute, *second = map(int, words.split(":"))
            at = midnight.replace(hour=hour, minute=minute, second=second[0] if second else 0)
            return (at if at <= here else at - timedelta(days=1)).timestamp()
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise FleetError(f"{option} {text!r}: is no time: {FORMS}") from None
