"""Writes the pictures of tracks that were found, into a folder of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from denet.outputs import check_parent, writing
from runtime.fleet.errors import FleetError
from runtime.postgres.connecting import Connection


def check_folder(folder: Path | None) -> None:
    """See that a folder can be made, before an archive is asked.

    Raises:
        FleetError: something is there already, or the folder that it is to be in is not.
    """
    if folder is None:
        return
    check_parent(folder, FleetError)
    if folder.exists():
        raise FleetError(f"{folder}: exists already: name a folder that is to be made")


def write_pictures(connection: Connection, keys: Sequence[str], folder: Path) -> int:
    """Write the best picture of each track, in each modality: 01-CAMERA-TRACK-rgb.jpg.

    Args:
        connection: to the archive.
        keys: of the tracks, in the order in which they are numbered.
        folder: to be made.

    Returns:
        How many were written; nodes send none unless `tracks.crops` asks for them.

    Raises:
        FleetError: one cannot be written.
        psycopg.Error: the archive cannot be asked.
    """
    rows = connection.execute(
        "SELECT track, modality, jpeg FROM pictures WHERE number = 0 AND track = ANY(%s)",
        (list(keys),),
    ).fetchall()
    places = {key: number for number, key in enumerate(keys, 1)}
    with writing(folder, FleetError):
        folder.mkdir()
        for key, modality, jpeg in rows:
            # Names come from nodes: none leads out of the folder.
            name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"{key}-{modality}")
            (folder / f"{places[key]:02}-{name}.jpg").write_bytes(jpeg)
    return len(rows)
