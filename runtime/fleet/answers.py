"""Answers as tables and lines for a person, and as plain data for a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from runtime.fleet.counting import PeopleCount
from runtime.fleet.describe import moment, span
from runtime.fleet.estimate import LEVEL
from runtime.fleet.following import Way
from runtime.fleet.identities.naming import PREFIX
from runtime.fleet.pooled_tracks import KeptTrack
from runtime.fleet.searching import FoundTrack
from runtime.fleet.wording import by_chance, strangers, verdict


def found_table(found: Sequence[FoundTrack], probably: float) -> Table:
    """A row for each track, the most alike first."""
    table = Table("", "camera", "from", "to", "track", "states", "how sure", "known as")
    for number, each in enumerate(found, 1):
        table.add_row(
            str(number), *_columns(each.track), verdict(each.rate, probably), _known(each)
        )
    return table


def found_lines(found: Sequence[FoundTrack], compared: int) -> list[str]:
    """What is to be said below the table."""
    if not found:
        return [f"no track is like it, of {compared:,} that were compared"]
    return [
        f"{compared:,} tracks were compared: {by_chance(compared, found[-1].rate)} as the last of "
        "these"
    ]


def found_facts(found: Sequence[FoundTrack]) -> list[dict[str, Any]]:
    """The same for a program; `match` is whom a gallery knew, with its own false-match rate."""
    return [
        asdict(each.track) | {"false_match_rate": each.rate, "score": each.score} for each in found
    ]


def way_table(way: Way, probably: float) -> Table:
    """A row for each sighting, the earliest first, with how long it is after the one before."""
    table = Table("camera", "from", "to", "after", "track", "states", "how sure", "known as")
    rows: list[tuple[KeptTrack, str, str]] = [
        (each.track, verdict(each.rate, probably), _known(each)) for each in way.found
    ]
    if way.start is not None:
        rows.append((way.start, "asked about", ""))
    rows.sort(key=lambda row: row[0].began)
    before: float | None = None
    for track, words, known in rows:
        camera, began, seen, key, states = _columns(track)
        after = "" if before is None else span(max(0.0, track.began - before))
        before = track.seen if before is None else max(before, track.seen)
        table.add_row(camera, began, seen, after, key, states, words, known)
    return table


def way_lines(way: Way, asked: str) -> list[str]:
    """What is to be said below the table of an identity.

    Args:
        way: of it.
        asked: what a person named.
    """
    if way.identity is None:
        return []
    lines = [
        f"{way.identity}: joined by looks, times and ways; how sure a track is of the same person "
        "as the others is told by looks alone"
    ]
    if asked.startswith(PREFIX) and asked != way.identity:
        lines.append(f"{asked} is {way.identity} now: more was seen since")
    return lines


def count_lines(counted: PeopleCount) -> list[str]:
    """How many people there were, and what that rests on."""
    if not counted.tracks:
        return ["nobody was seen and embedded"]
    people = counted.people
    lines = [
        f"about {people.people:.0f} different people ({LEVEL:.0%}: {people.low:.0f} to "
        f"{people.high:.0f}) in {counted.tracks} tracks of {counted.cameras} cameras",
        f"two tracks look alike where {strangers(counted.rate)}; by the scores "
        f"{counted.found:.0%} of pairs of one person do",
    ]
    if counted.identities:
        text = f"identities: {counted.identities}"
        lines.append(text + (f", and {counted.alone} tracks without one" if counted.alone else ""))
    if counted.blind:
        lines.append(f"not counted: {counted.blind} tracks that were not embedded by this model")
    return lines


def _columns(track: KeptTrack) -> tuple[str, str, str, str, str]:
    states = ", ".join(track.states)
    return track.camera, moment(track.began), moment(track.seen), track.key, states


def _known(found: FoundTrack) -> str:
    """Whom a gallery knew in it: never a bare name."""
    match = found.track.match
    if match is None:
        return ""
    rate = match.get("false_match_rate")
    how = "no rate is known" if rate is None else strangers(float(rate))
    return f"perhaps {match.get('identity')}, {how}"
