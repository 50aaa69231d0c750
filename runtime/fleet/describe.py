"""What an archive says, as tables and lines for a person."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.table import Table

from runtime.fleet.standing import ArchiveStanding, HeardCamera


def moment(when: float) -> str:
    """A time by the clock of this place."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def span(seconds: float) -> str:
    """How long, in one unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"


def camera_table(cameras: Iterable[HeardCamera], now: float) -> Table:
    """A row for each camera."""
    table = Table("camera", "tracks", "last event", "ago", "came after")
    for camera in cameras:
        late = f"{camera.late:.1f} s" if camera.late < 120 else span(camera.late)
        ago = span(max(0.0, now - camera.told))
        table.add_row(camera.name, str(camera.tracks), moment(camera.told), ago, late)
    return table


def standing_lines(found: ArchiveStanding) -> list[str]:
    """What all of it is."""
    lines = [
        f"events {found.events}, tracks {found.tracks}, embeddings {found.sightings}, pictures "
        f"{found.pictures}: {found.bytes / 1e6:.1f} MB"
    ]
    if found.identities:
        lines.append(f"identities {found.identities}")
    return lines + [f"embeddings are {space.describe()}" for space in found.spaces]
