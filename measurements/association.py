"""Identities over cameras on a drawn site: IDF1 against what is left out, and against a batch.

    python measurements/association.py ARCHIVE DATA [--bundle BUNDLE] [--above 200] [--seeds 5]
        [--people 60] [--earlier 120] [--every 30]

ARCHIVE is the setting of an archive that is not there yet, as
"postgresql://USER@HOST/DATABASE?schema=measured&password_env=PGPASSWORD"; it is made, emptied for
each round, and left. DATA is of people seen by six cameras (`denet synth DATA --identities 340
--cameras 6 --shots 4 --height 96 --width 48 --seed 5`); those above a number are taken, whom the
bundle was not trained on and its scores were not measured on. The bundle carries scores; it is that
of `denet node demo` if none is named. Ways are learned of other walks of those people
(`--earlier`). Sites are drawn by `cameras.py`; their tracks go into the archive in the order in
which they end, and are identified after each ten, as `denet fleet identify` does. IDF1 is over all
cameras, each track by its boxes; a track without an identity is one of its own. The result is
Markdown, for docs/fleet.md.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cameras import WAYS, Passing, drawn_site
from composed import processor
from identity_f1 import IdentityScore, identity_f1
from numpy.typing import NDArray
from street import opened

from denet.data.records import Record, open_data
from denet.graph import Modality, State
from denet.testset import all_samples, open_split
from runtime import Runtime
from runtime.fleet.errors import FleetError
from runtime.fleet.identities.clustering import cluster
from runtime.fleet.identities.evidence import weigh
from runtime.fleet.identities.identifying import Identifier
from runtime.fleet.identities.keeping import near_tracks
from runtime.fleet.identities.learning import learn_topology
from runtime.fleet.identities.topology import Topology
from runtime.fleet.pooled_tracks import Which, read_pooled
from runtime.fleet.retention import BELONGING
from runtime.fleet.settings import IdentitySettings, TransitSettings
from runtime.fleet.storing import SpaceIds, store
from runtime.fleet.tables import make_tables
from runtime.gallery.likelihood import LikelihoodRatios
from runtime.gallery.scores import Pair, Scores, carried_scores
from runtime.gallery.space import Space
from runtime.node.demo.demonstration import BUNDLE
from runtime.node.events import TrackEvent, TrackFacts
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.telling import pooled_embeddings
from runtime.postgres.address import read_address
from runtime.postgres.connecting import Connection, connect

NOON, RATE, PART = 1_790_000_000.0, 10, 10
WINDOW = 1800.0

Vector = NDArray[np.float32]
Key = tuple[int, State]


@dataclass
class Embedded:
    """The embeddings of records in the states that they were seen in."""

    runtime: Runtime
    space: Space
    weights: Mapping[State, float]
    known: dict[Key, Vector] = field(default_factory=dict)

    def learn(self, passings: Iterable[Passing]) -> None:
        """Embed what some people show."""
        wanted: dict[Key, dict[Modality, NDArray[np.uint8]]] = {}
        for passing in passings:
            for record, modalities in passing.sightings:
                key = id(record), self.runtime.graph.state(modalities)
                if key not in self.known:
                    wanted[key] = {m: np.asarray(opened(record.images[m])) for m in modalities}
        for key, vector in zip(
            wanted, self.runtime.embed_batch(list(wanted.values())), strict=True
        ):
            self.known[key] = vector

    def pooled(self, passing: Passing, of: str) -> Pooled:
        """What a node pools of a track: by states; of the complete one alone; or as if all were
        that."""
        made, complete = Pooled(self.space), self.runtime.graph.states[0]
        for record, modalities in passing.sightings:
            state = self.runtime.graph.state(modalities)
            if of == "complete" and state != complete:
                continue
            as_what = complete if of == "concatenated" else state
            made.add(as_what, self.known[id(record), state], self.weights[state])
        return made


def event(passing: Passing, number: int, pooled: Pooled) -> TrackEvent:
    """The end of a track."""
    told = pooled_embeddings(pooled)
    facts = TrackFacts(
        id=f"track-{number}",
        change="ended",
        person=None,
        label="person",
        began=NOON + passing.began,
        duration=passing.ended - passing.began,
        boxes=boxes(passing),
        embedded=pooled.count,
        states=[each.state for each in told],
        path=[],
        pooled=told,
    )
    return TrackEvent(
        id=f"measured-{number}",
        node=camera_name(passing.camera),
        time=NOON + passing.ended,
        kind="track",
        state=told[0].state if told else "rgb",
        checkpoint=pooled.space.checkpoint,
        projection=pooled.space.projection,
        track=facts,
    )


def camera_name(number: int) -> str:
    return f"camera-{number}"


def boxes(passing: Passing) -> int:
    return max(1, round(RATE * (passing.ended - passing.began)))


def key_of(made: TrackEvent) -> str:
    return f"{made.node}/{made.track.id}"


def given() -> tuple[TransitSettings, ...]:
    """The ways as somebody writes them down who has walked them."""
    return tuple(
        TransitSettings(
            origin=camera_name(one), to=camera_name(other), seconds=(0.6 * least, 1.5 * most)
        )
        for (one, other), (least, most) in WAYS.items()
    )


def mixed(scores: Scores) -> Scores:
    """One curve for all states: shares of strangers and of genuine pairs at a cosine, whatever the
    states, each pair of states as often."""
    rates = np.array(scores.table.rates)
    pairs = [pair for row in scores.table.pairs.values() for pair in row.values()]
    grid = np.linspace(-1, 1, 4001)
    false, true = np.zeros_like(grid), np.zeros_like(grid)
    for pair in pairs:
        cosines = np.array(pair.cosines)
        logs = np.log10(rates[: len(cosines)])
        false += 10 ** np.interp(grid, cosines, logs, right=logs[-1] - 1) / len(pairs)
        true += np.interp(grid, cosines, pair.found, left=1.0, right=0.0) / len(pairs)
    falls = np.minimum.accumulate(false)
    places = [int(np.argmax(falls <= rate * (1 + 1e-9))) for rate in rates]
    one = Pair(
        impostors=min(pair.impostors for pair in pairs),
        genuine=min(pair.genuine for pair in pairs),
        cosines=tuple(grid[places].tolist()),
        found=tuple(np.minimum.accumulate(true[places]).tolist()),
    )
    state = max(scores.table.pairs, key=len)
    table = scores.table.__class__(
        **{
            name: getattr(scores.table, name)
            for name in scores.table.__struct_fields__
            if name != "pairs"
        },
        pairs={state: {state: one}},
    )
    return Scores(table, "all states in one")


def emptied(connection: Connection) -> None:
    for table in ("tracks", "cameras", *BELONGING):
        connection.execute(f"DELETE FROM {table}")


def identified(
    connection: Connection,
    events: Sequence[TrackEvent],
    settings: IdentitySettings,
    scores: Scores,
) -> tuple[dict[str, str], dict[str, str], int]:
    """Identities at the end, as they were told first, and how many tracks were corrected."""
    emptied(connection)
    spaces = SpaceIds()
    number = spaces.number(connection, scores.space)
    made = Identifier(settings, scores, number, print)
    first: dict[str, str] = {}
    now: dict[str, str] = {}
    corrected = 0
    for start in range(0, len(events), PART):
        store(connection, spaces, events[start : start + PART], [], NOON)
        for again in (False, True):
            while (done := made.step(connection, again=again)) is not None:
                corrected += done.corrected
                if not again and not done.tracks:
                    break
            now = dict(connection.execute("SELECT track, identity FROM members").fetchall())
            first = {**now, **first}
    return now, first, corrected


def batch(connection: Connection, settings: IdentitySettings, scores: Scores) -> dict[str, str]:
    """All tracks of the archive clustered at once."""
    number = SpaceIds().number(connection, scores.space)
    near = near_tracks(connection, number, (0.0, 2 * NOON), 100_000)
    tracks = [each.track for each in near]
    known = read_pooled(connection, scores.space, number, [track.key for track in tracks])
    cameras = list(dict.fromkeys(track.camera for track in tracks))
    evidence = weigh(
        tracks,
        [known[track.key] for track in tracks],
        range(len(tracks)),
        LikelihoodRatios(scores),
        Topology(settings, cameras),
    )
    labels = cluster(evidence, np.full(len(tracks), -1))
    return {track.key: str(label) for track, label in zip(tracks, labels, strict=True)}


def learned(
    connection: Connection, embedded: Embedded, scores: Scores, passings: Sequence[Passing]
) -> tuple[TransitSettings, ...]:
    """The ways that an archive of other people shows."""
    emptied(connection)
    spaces = SpaceIds()
    made = [event(p, n, embedded.pooled(p, "states")) for n, p in enumerate(passings)]
    store(connection, spaces, made, [], NOON)
    number = spaces.number(connection, scores.space)
    found = learn_topology(connection, number, scores, Which(), WINDOW)
    direct = [each for each in found.transits if not each.past]
    print(f"learned of {found.tracks} tracks: {len(direct)} ways of {len(WAYS)}")
    for each in found.transits:
        print("  ", each)
    return tuple(
        TransitSettings(origin=each.origin, to=each.to, seconds=(each.least, each.most))
        for each in direct
    )


def rounds(
    connection: Connection,
    embedded: Embedded,
    scores: Scores,
    passings: Sequence[Passing],
    ways: tuple[TransitSettings, ...],
) -> Iterator[tuple[str, IdentityScore, float]]:
    """What each way of doing it makes of a site, and the share of tracks that it corrected."""
    events = {
        of: [event(p, n, embedded.pooled(p, of)) for n, p in enumerate(passings)]
        for of in ("states", "complete", "concatenated")
    }
    keys = [key_of(each) for each in events["states"]]
    truth = {key: p.person for key, p in zip(keys, passings, strict=True)}
    sizes = {key: boxes(p) for key, p in zip(keys, passings, strict=True)}
    known = IdentitySettings(window=WINDOW, transits=given())
    unknown = IdentitySettings(window=WINDOW)

    def judged(found: Mapping[str, str]) -> IdentityScore:
        return identity_f1(truth, found, sizes)

    now, first, corrected = identified(connection, events["states"], known, scores)
    share = corrected / len(keys)
    yield "whole: states, ways, corrected", judged(now), share
    yield "the same, as it was told first", judged(first), 0.0
    yield "all at once, in a batch", judged(batch(connection, known, scores)), 0.0
    seen = IdentitySettings(window=WINDOW, transits=ways)
    for name, of, settings, by in (
        ("ways that were learned", "states", seen, scores),
        ("no ways known", "states", unknown, scores),
        ("complete states only", "complete", known, scores),
        ("concatenated, states ignored", "concatenated", known, mixed(scores)),
    ):
        now, _, corrected = identified(connection, events[of], settings, by)
        yield name, judged(now), corrected / len(keys)
        if settings is unknown:
            yield f"{name}, in a batch", judged(batch(connection, settings, by)), 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive")
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--above", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--earlier", type=int, default=120)
    parser.add_argument("--every", type=float, default=30.0)
    args = parser.parse_args()
    data = open_data(args.data)
    shots: dict[int, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in [*data.train, *all_samples(open_split(data))]:
        if record.identity > args.above:
            shots[record.identity][record.camera].append(record)
    address, _ = read_address(args.archive, FleetError, schema="denet_fleet")
    found: dict[str, list[tuple[IdentityScore, float]]] = defaultdict(list)
    tracks: list[int] = []
    with Runtime.load(args.bundle, "ort-cpu") as runtime, connect(address) as connection:
        make_tables(connection, address)
        scores = carried_scores(runtime.bundle)
        assert scores is not None, "the bundle carries no scores"
        likeness = Likeness(scores, 0.0)
        weights = {state: likeness.weight(state) for state in runtime.graph.states}
        embedded = Embedded(runtime, scores.space, weights)
        modalities = runtime.graph.states[0].available
        earlier = drawn_site(shots, args.earlier, args.every, modalities, 1000)
        embedded.learn(earlier)
        ways = learned(connection, embedded, scores, earlier)
        for seed in range(args.seeds):
            passings = drawn_site(shots, args.people, args.every, modalities, seed)
            embedded.learn(passings)
            tracks.append(len(passings))
            for name, score, share in rounds(connection, embedded, scores, passings, ways):
                print(seed, name, score, f"{share:.2f}", flush=True)
                found[name].append((score, share))
    print(f"\n{processor()}; {args.seeds} sites, {args.people} people, {tracks} tracks\n")
    print("| | IDF1, mean | from to | pairs joined rightly | identities of a person | corrected |")
    print("|---|---|---|---|---|---|")
    for name, rows in found.items():
        idf1 = [100 * score.idf1 for score, _ in rows]
        each = np.mean([score.identities / score.people for score, _ in rows])
        right = 100 * np.mean([score.right for score, _ in rows])
        moved = np.mean([share for _, share in rows])
        print(
            f"| {name} | {np.mean(idf1):.1f} | {min(idf1):.1f} to {max(idf1):.1f} | "
            f"{right:.0f} % | {each:.2f} | "
            f"{100 * moved:.0f} % |"
        )


if __name__ == "__main__":
    main()
