"""Matches and entries as tables for a person, and as plain data for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from rich.table import Table

from runtime.gallery.base import Entry, Match
from runtime.gallery.scores import Scores
from runtime.gallery.sightings import Sightings

FALSE_MATCH_RATE = 1e-3
"""At which tables show a file of scores, where it tells of one so low."""


def match_table(
    sightings: Sightings, found: Sequence[Sequence[Match]], scores: Scores | None
) -> Table:
    """A row for each match of each query; a query without a match has a row that says so."""
    table = Table("query", "state", "identity", title="Matches", title_justify="left")
    for column in (*(("false-match rate",) if scores else ()), "cosine", "entry"):
        table.add_column(column, justify="right")
    table.add_column("in state")
    for name, state, matches in zip(sightings.names, sightings.states, found, strict=True):
        if not matches:
            table.add_row(name, state.name, "no match")
        for rank, match in enumerate(matches):
            table.add_row(
                *((name, state.name) if rank == 0 else ("", "")),
                match.identity,
                *((_rate(match, scores),) if scores else ()),
                f"{match.cosine:.3f}",
                str(match.entry),
                match.state.name,
            )
        table.add_section()
    return table


def match_facts(
    sightings: Sightings, found: Sequence[Sequence[Match]], scores: Scores | None
) -> list[dict[str, Any]]:
    """What `match_table` shows, as plain data. No false-match rate is less than the least that
    `scores` can tell; `score` orders also what lies below."""

    def facts(match: Match) -> dict[str, Any]:
        return {
            "identity": match.identity,
            "score": match.score,
            "cosine": match.cosine,
            **(
                {"false_match_rate": max(10**-match.score, scores.least_rate)}
                if scores is not None
                else {}
            ),
            "entry": match.entry,
            "state": match.state.name,
        }

    return [
        {"query": name, "state": state.name, "matches": [facts(match) for match in matches]}
        for name, state, matches in zip(sightings.names, sightings.states, found, strict=True)
    ]


def identity_table(entries: Sequence[Entry]) -> Table:
    """A row for each identity: how many entries, in which states, and when the last was made."""
    table = Table("identity", title="Gallery", title_justify="left")
    table.add_column("entries", justify="right")
    for column in ("states", "last (UTC)"):
        table.add_column(column)
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.identity, []).append(entry)
    for identity, mine in grouped.items():
        states = Counter(entry.state.name for entry in mine)
        table.add_row(
            identity,
            str(len(mine)),
            ", ".join(f"{name} ({count})" for name, count in states.items()),
            _moment(max(entry.time for entry in mine)),
        )
    return table


def entry_table(entries: Sequence[Entry]) -> Table:
    """A row for each entry."""
    table = Table(title="Entries", title_justify="left")
    table.add_column("entry", justify="right")
    for column in ("identity", "state", "time (UTC)", "source"):
        table.add_column(column)
    for entry in entries:
        table.add_row(
            str(entry.id),
            entry.identity,
            entry.state.name,
            _moment(entry.time),
            entry.source,
        )
    return table


def entry_facts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """All that is known of entries, as plain data."""
    return [
        {
            "entry": entry.id,
            "identity": entry.identity,
            "state": entry.state.name,
            "time": entry.time,
            "source": entry.source,
            "metadata": dict(entry.metadata),
            "dim": entry.space.dim,
            "checkpoint": entry.space.checkpoint,
            "projection": entry.space.projection,
        }
        for entry in entries
    ]


def scores_table(scores: Scores) -> Table:
    """For each pair of states the cosine that a match needs at one false-match rate, and the share
    of genuine pairs that reaches it."""
    rate = max(FALSE_MATCH_RATE, scores.least_rate)
    # The rates fall: the first that is not above the one shown.
    place = next(i for i, r in enumerate(scores.table.rates) if r <= rate * (1 + 1e-9))
    table = Table(
        "query",
        title=f"Cosine at a false-match rate of {rate:.2g} (genuine pairs that reach it)",
        title_justify="left",
    )
    for entry in next(iter(scores.table.pairs.values())):
        table.add_column(entry, justify="right", no_wrap=True)
    for query, row in scores.table.pairs.items():
        cells = [f"{p.cosines[place]:.3f} ({100 * p.found[place]:.0f} %)" for p in row.values()]
        table.add_row(query, *cells)
    return table


def scores_facts(scores: Scores) -> dict[str, Any]:
    """What a file of scores was made from, and the least rate that it tells."""
    table = scores.table
    return {
        "data": table.data,
        "variant": table.variant,
        "identities": table.identities,
        "impostors": sum(p.impostors for row in table.pairs.values() for p in row.values()),
        "least_false_match_rate": scores.least_rate,
    }


def _rate(match: Match, scores: Scores) -> str:
    """The false-match rate of a match, as far as it can be told."""
    rate = 10**-match.score
    return f"{rate:.2g}" if rate >= scores.least_rate else f"< {scores.least_rate:.2g}"


def _moment(time: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):
        return f"{time:g} s"
