"""What an archive of a fleet reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz.running import Reader, in_file

FLEET = b"""
name = "site-1"
workers = 2
[broker]
url = "mqtts://broker.example.org"
user = "fleet"
[archive]
url = "postgresql://keeper@db.example.org/people"
days = 90
bytes = 100_000_000_000
"""


def fleet(_: Path, folder: Path) -> Reader:
    from runtime.fleet.settings import read_fleet_settings

    path = folder / "fleet.toml"
    use = lambda: read_fleet_settings(path)  # noqa: E731
    return Reader("fleet.toml", (FLEET,), in_file(path), use, None)


def track_events(_: Path, folder: Path) -> Reader:
    """What a broker brings: anybody may have sent it, and an archive keeps numbers alone."""
    from runtime.fleet.arrival import halves, read_track_event
    from tests.runtime.fleet.drawn import body, event

    path = folder / "event.json"

    def use() -> list[bytes]:
        return [halves(each) for each in read_track_event(path.read_bytes()).track.pooled]

    def right(found: list[bytes]) -> bool:
        return all(bool(np.isfinite(np.frombuffer(each, ">f2")).all()) for each in found)

    samples = (body(event()), body(event(change="started")))
    return Reader("track events", samples, in_file(path), use, right)
