"""What was learned of the ways between cameras, with the evidence: for a person, and as TOML."""

from __future__ import annotations

import json

from rich.table import Table

from runtime.fleet.identities.learning import CERTAIN, LearnedTopology, LearnedTransit


def transit_table(found: LearnedTopology) -> Table:
    """A row for each way."""
    table = Table("from", "to", "seconds", "look alike", "by chance", "chance of that", "")
    for each in found.transits:
        table.add_row(
            each.origin,
            each.to,
            _seconds(each),
            str(each.alike),
            f"{each.chance:.1f}",
            _rare(each.p),
            f"past {each.past}" if each.past else "",
        )
    return table


def transit_lines(found: LearnedTopology) -> list[str]:
    """What is to be said below the table."""
    text = (
        f"tracks: {found.tracks}, cameras: {len(found.cameras)}; a way is told if chance alone "
        f"would show as much in fewer than 1 of {1 / CERTAIN:.0f} such archives"
    )
    if not found.transits:
        return [text, "ask again when more has been seen, or write down the ways that you know"]
    return [text, "look at them, then write them down: `denet fleet topology ... --toml`"]


def transit_toml(found: LearnedTopology) -> list[str]:
    """Lines for `fleet.toml`: ways past other cameras are left out, for they follow."""
    lines = []
    for each in found.transits:
        if not each.past:
            lines += [
                "[[identities.transits]]",
                f"# {each.alike} pairs of tracks look alike, {each.chance:.1f} by chance "
                f"({_rare(each.p)})",
                f"from = {json.dumps(each.origin)}",
                f"to = {json.dumps(each.to)}",
                f"seconds = [{each.least:.0f}, {each.most:.0f}]",
                "",
            ]
    return lines[:-1]


def _seconds(each: LearnedTransit) -> str:
    return f"{each.least:.0f} to {each.most:.0f}"


def _rare(p: float) -> str:
    return "below 1 in 1,000,000" if p < 1e-6 else f"1 in {1 / p:,.0f}"
