"""Who is where in each moment, as CSV and as MOTChallenge has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from denet.marks import OutputKind
from denet.reading import read_text
from runtime.node.errors import NodeError
from runtime.node.recorded.following import Followed

COLUMNS = (
    "frame", "time", "track", "person", "identity", "left", "top", "right", "bottom", "state",
    "faults",
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """Somebody, by numbers that are the same each time.

    Attributes:
        track: from 1, in the order of their first boxes.
        person: from 1: tracks of one person who came back have the same; None where nothing was
            embedded.
        identity: whom the gallery knows; None if nobody.
    """

    track: int
    person: int | None
    identity: str | None

    @property
    def label(self) -> str:
        """For a person who looks at it."""
        who = self.identity or (f"person {self.person}" if self.person else "?")
        return f"{self.track} {who}"


def named(followed: Followed) -> dict[str, Named]:
    """By id of a track. Ids are random; these are not."""
    found: dict[str, Named] = {}
    people: dict[str, int] = {}
    for row in followed.rows:
        if row.track not in found:
            identity, person = followed.names.get(row.track, (None, None))
            number = None if person is None else people.setdefault(person, len(people) + 1)
            found[row.track] = Named(len(found) + 1, number, identity)
    return found


def csv_text(followed: Followed, names: Mapping[str, Named]) -> str:
    """A line for each box: numbers of frames from 1, seconds, pixels of the RGB frame."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(followed.rows, key=lambda each: (each.moment, names[each.track].track)):
        name, box = names[row.track], row.box
        moment = followed.moments[row.moment]
        faults = "; ".join(f"{m}: {fault}" for m, fault in moment.faults.items())
        sides = (f"{side:.2f}" for side in (box.left, box.top, box.right, box.bottom))
        who = name.track, name.person or "", name.identity or ""
        writer.writerow((row.moment + 1, f"{row.time:.3f}", *who, *sides, row.state, faults))
    return content.getvalue()


def mot_text(table: str) -> str:
    """The same boxes in MOTChallenge's form: frame, id, left, top, width, height, 1, -1, -1, -1;
    numbers of frames and ids from 1.

    Args:
        table: of `csv_text`.
    """
    lines = []
    for row in csv.DictReader(io.StringIO(table)):
        left, top = float(row["left"]), float(row["top"])
        width, height = float(row["right"]) - left, float(row["bottom"]) - top
        lines.append(
            f"{row['frame']},{row['track']},{left:.2f},{top:.2f},{width:.2f},{height:.2f},"
            "1,-1,-1,-1\n"
        )
    return "".join(lines)


def mot_beside(table: Path) -> Path:
    """The file in MOTChallenge's form that belongs to one in CSV."""
    return table.with_suffix(".mot.txt")


def _is_table(path: Path) -> bool:
    return read_text(path, NodeError).startswith(",".join(COLUMNS) + "\n")


def _is_mot(path: Path) -> bool:
    """Numbers alone say not who wrote them; that they are those of the CSV beside them does."""
    table = path.with_name(path.name.removesuffix(".mot.txt") + ".csv")
    return _is_table(table) and read_text(path, NodeError) == mot_text(read_text(table, NodeError))


TABLE = OutputKind(
    ".csv", "a table is", "a table that `denet track` wrote", _is_table, private=True
)
MOT = OutputKind(
    ".txt", "it is", "what `denet track` wrote beside its table", _is_mot, private=True
)
