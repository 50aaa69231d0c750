"""Pictures that were dropped on the page, as a question."""

from __future__ import annotations

import io
import time
from typing import Any

import msgspec
from PIL import Image

from denet.images import decoded, open_image
from denet.reading import reading
from runtime.fleet.errors import FleetError
from runtime.fleet.page.facts import found_shown
from runtime.fleet.pooled_tracks import Which, choose_cameras, space_number
from runtime.fleet.searching import SoughtPerson, compared_tracks, find_tracks
from runtime.fleet.times import read_interval
from runtime.fleet.wording import by_chance
from runtime.gallery.scores import Scores
from runtime.gallery.space import Space
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.connecting import Connection
from runtime.runtime import Runtime

TOP = 12
"""Tracks that are shown."""


class DroppedPictures(msgspec.Struct, forbid_unknown_fields=True):
    """What the page sends.

    Attributes:
        pictures: by modality: the file, in base64.
        since, until, camera: as of `denet fleet search`; "" for any.
    """

    pictures: dict[str, bytes]
    since: str = ""
    until: str = ""
    camera: str = ""


def read_dropped(body: bytes) -> DroppedPictures:
    """What a body holds.

    Raises:
        FleetError: it is none.
    """
    try:
        return msgspec.json.decode(body, type=DroppedPictures)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FleetError(f"not a question of the page: {error}") from None


def search_shown(
    connection: Connection, runtime: Runtime, scores: Scores, asked: DroppedPictures
) -> dict[str, Any]:
    """The tracks that are most like whom the pictures show.

    Raises:
        FleetError: no picture, one that cannot be read, or a time or a camera that is none.
        GalleryError: the states were not measured.
        psycopg.Error: the archive cannot be asked.
    """
    modalities = runtime.graph.states[0].available
    given = {m: data for m, data in asked.pictures.items() if data}
    if not given or not set(given) <= set(modalities):
        raise FleetError(f"give a picture of at least one sensor: {', '.join(modalities)}")
    sample = {m: _picture(m, given[m]) for m in modalities if m in given}
    interval = read_interval(asked.since or None, asked.until or None, time.time())
    which = Which(interval, choose_cameras(connection, asked.camera or None))
    space = Space.of(runtime.bundle.manifest)
    pooled = Pooled(space)
    pooled.add(runtime.graph.state(sample), runtime.embed(sample), 1.0)
    number = space_number(connection, space, "the bundle")
    found = find_tracks(connection, SoughtPerson(pooled, number, scores), which, top=TOP)
    compared = compared_tracks(connection, number, which)
    said = f"{compared:,} tracks were compared"
    if found:
        said += f": {by_chance(compared, found[-1].rate)} as the last of these"
    return {"tracks": found_shown(connection, found), "said": said}


def _picture(modality: str, data: bytes) -> Any:
    name = f"the {modality.upper()} picture"
    with io.BytesIO(data) as stream, reading(name, FleetError, "damaged, or no picture"):
        image = decoded(open_image(stream, name, FleetError))
        if isinstance(image, Image.Image):
            image.load()
        return image
