"""What turns out later is put right in rows before; numbers are the same each time."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from runtime.node.boxes.box import Box
from runtime.node.recorded.following import BoxRow, Followed, Passed
from runtime.node.recorded.rows import COLUMNS, csv_text, mot_text, named
from runtime.node.sources.replay import BEGIN
from runtime.node.tracks.correction import Correction

IDS = ("track-a", "track-b", "track-c")


def followed(whose: list[str]) -> Followed:
    """A box each tenth of a second."""
    box = Box(1.005, 2, 11.239, 40)
    rows = [BoxRow(i, i / 10, track, box, "rgb") for i, track in enumerate(whose)]
    return Followed(moments=[Passed(i / 10, "rgb", {}) for i in range(len(whose))], rows=rows)


changes = st.lists(
    st.tuples(st.permutations(IDS), st.one_of(st.none(), st.integers(-1, 12))), max_size=4
)


@given(whose=st.lists(st.sampled_from(IDS), max_size=12), changes=changes)
def test_corrections_are_those_of_a_brute_force(
    whose: list[str], changes: list[tuple[list[str], int | None]]
) -> None:
    found, expected = followed(whose), list(whose)
    for (one, other, _), since in changes:
        moment = None if since is None else BEGIN + since / 10
        found.correct(Correction(one, other, moment))
        for i, track in enumerate(expected):
            if since is None:
                expected[i] = other if track == one else track
            elif BEGIN + i / 10 > BEGIN + since / 10:
                expected[i] = {one: other, other: one}.get(track, track)
    assert [row.track for row in found.rows] == expected


def test_numbers_follow_the_order_of_appearance() -> None:
    found = followed(["track-b", "track-a", "track-c", "track-b"])
    found.names = {
        "track-a": (None, "anonymous-9"),
        "track-b": ("Zoë", "anonymous-3"),
        "track-c": (None, "anonymous-9"),
    }
    names = named(found)
    assert [(n.track, n.person, n.identity) for n in names.values()] == [
        (1, 1, "Zoë"),
        (2, 2, None),
        (3, 2, None),
    ]
    assert names["track-b"].label == "1 Zoë"
    assert names["track-c"].label == "3 person 2"


def test_names_with_commas_and_quotes_are_read_back() -> None:
    found = followed(["track-a"])
    found.names = {"track-a": ('a "b", c', None)}
    table = csv_text(found, named(found))
    (row,) = csv.DictReader(io.StringIO(table))
    assert tuple(row) == COLUMNS
    assert row["identity"] == 'a "b", c'
    assert row["person"] == ""
    assert mot_text(table).startswith("1,1,")
