"""What an archive of a fleet costs: storing, its size on disk, and searching it.

    python measurements/fleet.py ARCHIVE [--tracks 1000000] [--dim 512] [--rounds 100]

ARCHIVE is the setting of an archive that is not there yet, as
"postgresql://USER@HOST/DATABASE?schema=measured&password_env=PGPASSWORD"; it is made, and left.
Tracks are of people drawn at random, each in one state, over thirty days and twenty cameras; they
are stored as workers store them, 200 events a transaction. Searches are of pictures in one state:
of all tracks, of those of the last day, and of one camera in it; before and after the index of
times is dropped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
from composed import processor
from gallery import STATES, some_scores, unit
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from runtime.fleet.errors import FleetError
from runtime.fleet.pooled_tracks import Which
from runtime.fleet.searching import SoughtPerson, find_tracks
from runtime.fleet.storing import SpaceIds, store
from runtime.fleet.tables import make_tables
from runtime.fleet.times import Interval
from runtime.gallery import Space
from runtime.node.events import Embedding, EventIds, PooledEmbedding, TrackEvent, TrackFacts
from runtime.node.tracks.pooling import Pooled
from runtime.postgres.address import read_address
from runtime.postgres.connecting import Connection, connect

BATCH, CAMERAS, DAYS = 200, 20, 30
START = 1_790_000_000.0
END = START + 86400 * DAYS
TOP = 10


def events(first: int, count: int, total: int, space: Space, ids: EventIds) -> list[TrackEvent]:
    """The ends of some tracks, in the order of time."""
    vectors = unit(count, space.dim, first)
    return [
        _ended(ids, number, START + (END - START) * number / total, vector, space)
        for number, vector in enumerate(vectors, first)
    ]


def _ended(
    ids: EventIds, number: int, began: float, vector: NDArray[np.float32], space: Space
) -> TrackEvent:
    state, node = STATES[number % len(STATES)], f"gate-{number * 7919 % CAMERAS}"
    packed = Embedding.of(vector)
    pooled = PooledEmbedding(
        state=state.name,
        dim=packed.dim,
        type=packed.type,
        data=packed.data,
        count=4,
        weight=1.0,
        agreement=0.95,
    )
    facts = TrackFacts(
        id=f"track-{number}",
        change="ended",
        person=None,
        label="person",
        began=began,
        duration=10.0,
        boxes=100,
        embedded=4,
        states=[state.name],
        path=[],
        pooled=[pooled],
    )
    return TrackEvent(
        id=ids.next(),
        node=node,
        time=began + 10,
        kind="track",
        state=state.name,
        checkpoint=space.checkpoint,
        projection=space.projection,
        track=facts,
    )


def searches(
    connection: Connection, number: int, space: Space, which: Which, rounds: int
) -> Iterator[float]:
    """Milliseconds of each of so many searches."""
    scores = some_scores(space)
    for seed in range(rounds):
        asked = Pooled(space)
        asked.add(STATES[seed % len(STATES)], unit(1, space.dim, -1 - seed & 0xFFFF)[0], 1.0)
        began = time.perf_counter()
        find_tracks(connection, SoughtPerson(asked, number, scores), which, top=TOP)
        yield 1e3 * (time.perf_counter() - began)


def main(setting: str, tracks: int, dim: int, rounds: int) -> None:
    address, _ = read_address(setting, FleetError, schema="denet_fleet")
    space, console = Space(dim, "a" * 64, ""), Console()
    with connect(address) as connection:
        make_tables(connection, address)
        spaces, ids, spent = SpaceIds(), EventIds("measured"), 0.0
        for first in range(0, tracks, BATCH):
            batch = events(first, min(BATCH, tracks - first), tracks, space, ids)
            began = time.perf_counter()
            store(connection, spaces, batch, [], time.time())
            spent += time.perf_counter() - began
        connection.execute("ANALYZE")
        (row,) = connection.execute(
            "SELECT sum(pg_table_size(oid))::float8, sum(pg_indexes_size(oid))::float8 "
            "FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace",
            (address.schema,),
        ).fetchall()
        console.print(f"{processor()}: {tracks:,} tracks of {dim} numbers")
        console.print(f"stored: {tracks / spent:,.0f} events a second, one worker")
        console.print(f"on disk: {row[0] / 1e6:,.0f} MB, indexes {row[1] / 1e6:,.0f} MB")
        number = spaces.number(connection, space)
        day = Interval(since=END - 86400)
        table = Table("search", "p50 ms", "p99 ms")
        for indexed in (True, False):
            if not indexed:
                connection.execute("DROP INDEX sightings_seen_idx")
            for name, which in (
                ("all tracks", Which()),
                ("the last day", Which(day)),
                ("one camera in the last day", Which(day, ("gate-3",))),
            ):
                times = list(searches(connection, number, space, which, rounds))
                words = name if indexed else f"{name}, without the index of times"
                table.add_row(words, *(f"{np.percentile(times, p):.0f}" for p in (50, 99)))
        connection.execute("CREATE INDEX ON sightings (seen)")
        console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive")
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    main(given.archive, given.tracks, given.dim, given.rounds)
