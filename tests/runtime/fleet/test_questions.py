"""Questions to an archive, against brute force and drawn truth."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.errors import FleetError
from runtime.fleet.estimate import Alike, estimate_people
from runtime.fleet.pooled_tracks import Which
from runtime.fleet.searching import SoughtPerson, find_tracks
from runtime.fleet.times import Interval, read_interval, read_time
from runtime.fleet.wording import by_chance, strangers, verdict
from runtime.node.events import EventMatch
from runtime.node.tracks.pooling import Pooled
from runtime.npz import with_digest
from runtime.postgres.connecting import Connection
from tests.command import denet, refused
from tests.runtime.fleet.drawn import NOON, SPACE, event, pooled, put, unit
from tests.runtime.fleet.people import STATES, brute_force, near, passes, scores, write_scores


def space_of(archive: Connection) -> int:
    row = archive.execute("SELECT id FROM spaces").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("noise", [0.3, 1.5])
def test_the_best_tracks_are_those_of_brute_force(
    archive: Connection, monkeypatch: pytest.MonkeyPatch, noise: float
) -> None:
    """One statement is not enough for some of them: what is asked for first is little."""
    monkeypatch.setattr("runtime.fleet.searching.SPARE", 0)
    made = passes(60, 3, noise=noise)
    put(archive, made)
    number, known = space_of(archive), scores()
    random = np.random.default_rng(5)
    wheres = [
        Which(),
        Which(cameras=("gate-0", "gate-2")),
        Which(Interval(NOON + 900, NOON + 2400)),
        Which(Interval(since=NOON + 1800), ("gate-1",)),
    ]
    for n in range(24):
        query, chosen = Pooled(SPACE), random.choice(7, size=1 + n % 3, replace=False)
        for state in chosen:
            query.add(STATES[state], near(unit(n), 0.5, random), float(random.uniform(0.3, 2)))
        plain = {s: (query.vector(s), query.weights[s], 1) for s in query.sums}
        which, top = wheres[n % 4], (1, 5, 20)[n % 3]
        expected = brute_force(plain, made, known, which)[:top]
        found = find_tracks(archive, SoughtPerson(query, number, known), which, top=top)
        np.testing.assert_allclose(
            [each.score for each in found], [score for _, score in expected], atol=2e-3
        )
        assert all(each.rate == max(10**-each.score, known.least_rate) for each in found)
        clear = [
            key
            for n, (key, score) in enumerate(expected)
            if all(abs(score - other) > 4e-3 for m, (_, other) in enumerate(expected) if m != n)
        ]
        assert {each.track.key for each in found} >= set(clear[:-1])


def test_only_those_above_a_score(archive: Connection) -> None:
    made = passes(30, 2)
    put(archive, made)
    query = Pooled(SPACE)
    query.add(STATES[0], unit(3), 1.0)
    known = scores()
    expected = brute_force({STATES[0]: (unit(3), 1.0, 1)}, made, known, Which())
    person = SoughtPerson(query, space_of(archive), known)
    found = find_tracks(archive, person, Which(), top=500, least=1.0)
    clear = {key for key, score in expected if score > 1.002}
    assert clear <= {each.track.key for each in found}
    assert len(found) <= len([1 for _, score in expected if score > 0.998])


@pytest.fixture
def config(archive: Connection, url: str, tmp_path: Path) -> Path:
    """Ten people who pass three cameras."""
    put(archive, passes(10, 3, noise=0.05))
    path = tmp_path / "fleet.toml"
    file = write_scores(tmp_path / "scores.json")
    path.write_text(f'[archive]\nurl = "{url}"\n[questions]\nscores = "{file}"\n')
    return path


def embedded(archive: Connection, key: str, path: Path, checkpoint: str = SPACE.checkpoint) -> Path:
    """A file of embeddings that shows the person of a track."""
    row = archive.execute(
        "SELECT state, embedding::text FROM sightings WHERE track = %s", (key,)
    ).fetchone()
    assert row is not None
    vector = np.array(json.loads(str(row[1])), np.float32)
    arrays = {
        "names": np.array(["a"]),
        "states": np.array([row[0]]),
        "embeddings": (vector / np.linalg.norm(vector))[None],
        "checkpoint": np.array(checkpoint),
        "projection": np.array(SPACE.projection),
    }
    np.savez(path, **with_digest(arrays))
    return path


def test_search(archive: Connection, config: Path, tmp_path: Path) -> None:
    npz = embedded(archive, "gate-1/person-4", tmp_path / "e.npz")
    ask = ("fleet", "search", "--embeddings", npz, "--config", config)
    facts = json.loads(denet(*ask, "--top", 3, "--json").stdout)
    assert facts["compared"] == 30
    assert {each["key"] for each in facts["found"]} == {f"gate-{c}/person-4" for c in range(3)}
    done = denet(*ask, "--camera", "gate-[01]", "--pictures", tmp_path / "shown")
    assert done.exit_code == 0, done.output
    assert "probably the same, 1 of" in done.output
    assert "gate-2" not in done.output
    assert "20 tracks were compared" in done.output
    names = sorted(path.name for path in (tmp_path / "shown").iterdir())
    assert len(names) == 20
    assert names[0].startswith("01-gate-")
    assert names[0].endswith("-person-4-rgb.jpg")
    refused(denet(*ask, "--pictures", tmp_path / "shown"), "exists already")
    refused(denet(*ask, "--camera", "door*"), "--camera door*", "gate-0, gate-1, gate-2")
    refused(denet(*ask, "--since", "someday"), "--since 'someday'", "is no time")
    nobody = denet(*ask, "--since", "2h")
    assert "no track is like it, of 0 that were compared" in nobody.output


def test_a_name_is_never_bare(archive: Connection, config: Path, tmp_path: Path) -> None:
    match = EventMatch(identity="alice", score=3.4, cosine=0.7, false_match_rate=0.0004)
    put(archive, [event("known-1", "known", match=match, embeddings=[pooled(unit(99))])])
    npz = embedded(archive, "gate-1/known", tmp_path / "e.npz")
    shown = denet("fleet", "search", "--embeddings", npz, "--config", config, "--top", 1).output
    assert "perhaps alice, 1 of 2,500 strangers would look so" in " ".join(shown.split())


def test_follow(archive: Connection, config: Path) -> None:
    shown = denet("fleet", "follow", "gate-1/person-4", "--config", config)
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.output.splitlines() if "person-4" in line]
    assert [line.count(f"gate-{n}/") for n, line in enumerate(lines)] == [1, 1, 1]
    assert "asked about" in lines[1]
    assert all("5 min" in line for line in lines[1:]), lines  # 280 s
    refused(denet("fleet", "follow", "person-4", "--config", config), "several cameras have it")
    refused(denet("fleet", "follow", "x/y", "--config", config), "there is no such track")
    low = denet("fleet", "follow", "gate-1/person-4", "--config", config, "--fmr", "1e-9")
    refused(low, "cannot be told")


def test_nobody_is_twice_before_one_camera(archive: Connection, config: Path) -> None:
    """Of two that one camera saw at one time, the more alike is kept; of two after one another,
    both."""
    random = np.random.default_rng(0)
    face = unit(7)
    put(
        archive,
        [
            event("s-1", "start", node="gate-0", embeddings=[pooled(face)]),
            event("s-2", "twin", node="gate-0", embeddings=[pooled(face)]),
            event("s-3", "good", node="gate-1", began=NOON + 500, embeddings=[pooled(face)]),
            event("s-4", "worse", node="gate-1", began=NOON + 505,
                  embeddings=[pooled(near(face, 0.2, random))]),
            event("s-5", "later", node="gate-1", began=NOON + 900, embeddings=[pooled(face)]),
        ],
    )  # fmt: skip
    done = denet("fleet", "follow", "gate-0/start", "--config", config, "--json")
    keys = [each["key"] for each in json.loads(done.stdout)["found"]]
    assert keys == ["gate-1/good", "gate-1/later"]


def test_count(archive: Connection, config: Path) -> None:
    facts = json.loads(denet("fleet", "count", "--config", config, "--json").stdout)
    assert facts["tracks"] == 30
    assert facts["people"]["low"] <= 10 <= facts["people"]["high"]
    assert facts["people"]["people"] == pytest.approx(10, abs=2)
    shown = denet("fleet", "count", "--config", config, "--camera", "gate-0").output
    assert "about 10 different people" in shown
    assert "10 tracks of 1 cameras" in shown
    put(archive, [event("blind-1", "blind", embeddings=[])])
    assert "not counted: 1 tracks" in denet("fleet", "count", "--config", config).output


def test_scores_that_tell_too_little(archive: Connection, config: Path, tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.json", impostors=100)
    refused(denet("fleet", "count", "--config", config), "too high to count people in 30 tracks")
    write_scores(tmp_path / "scores.json", found=0.0)
    refused(denet("fleet", "count", "--config", config), "finds nobody again")


def test_another_model(archive: Connection, config: Path, tmp_path: Path) -> None:
    npz = embedded(archive, "gate-1/person-4", tmp_path / "e.npz", "d" * 64)
    done = denet("fleet", "search", "--embeddings", npz, "--config", config)
    refused(done, "dddddddddddd", "no tracks to compare with", "aaaaaaaaaaaa")
    config.write_text(config.read_text().partition("[questions]")[0])
    refused(denet("fleet", "count", "--config", config), "questions.scores: is missing")


@pytest.mark.parametrize("found", [0.9, 0.5])
@pytest.mark.parametrize("people", ["once", "three times", "some often"])
def test_the_interval_holds_the_truth(people: str, found: float) -> None:
    """Of drawn people, whose pairs look alike with known probabilities, nine times in ten."""
    held = 0
    estimates = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        sizes = {
            "once": np.ones(40, int),
            "three times": np.full(30, 3),
            "some often": np.where(random.random(40) < 0.7, 1, 5),
        }[people]
        who = np.repeat(np.arange(len(sizes)), sizes)
        one, other = np.triu_indices(len(who), 1)
        same = who[one] == who[other]
        hit = random.random(len(one)) < np.where(same, found, 0.0003)
        pairs = np.stack([one[hit], other[hit]], axis=1)
        alike = Alike(pairs, np.full(len(who), len(who) - 1), found, 0.0003)
        estimate = estimate_people(alike, seed)
        held += estimate.low <= len(sizes) <= estimate.high
        estimates.append(estimate.people / len(sizes))
    assert held >= 10
    assert np.mean(estimates) == pytest.approx(1, abs=0.1)


def test_times() -> None:
    now = time.mktime((2026, 3, 14, 15, 0, 0, 0, 0, -1))
    day = 86400
    midnight = now - 15 * 3600
    for text, expected in {
        "today": midnight,
        "yesterday": midnight - day,
        "now": now,
        "2h": now - 7200,
        "90 min ago": now - 5400,
        "7d": now - 7 * day,
        "14:30": now - 1800,
        "15:30": now + 1800 - day,
        "2026-03-13": midnight - day,
        "2026-03-14T14:00": now - 3600,
        "2026-03-14 14:00:30": now - 3570,
        "2026-03-14T14:00:00+00:00": 1773496800.0,
    }.items():
        assert read_time(text, "--since", now) == pytest.approx(expected), text
    for text in ("", "soon", "25:00", "2026-13-01", "-2h", "1e400h", "99999-01-01"):
        with pytest.raises(FleetError, match="is no time"):
            read_time(text, "--since", now)
    with pytest.raises(FleetError, match="is not before"):
        read_interval("today", "yesterday", now)


def test_words() -> None:
    assert strangers(1 / 2000) == "1 of 2,000 strangers would look so"
    assert strangers(1 / 2047) == "1 of 2,000 strangers would look so"
    assert strangers(0.03) == "1 of 33 strangers would look so"
    assert strangers(0.9) == "most strangers would look so"
    assert verdict(0.0005, 0.001) == "probably the same, 1 of 2,000 strangers would look so"
    assert verdict(0.01, 0.001) == "perhaps, 1 of 100 strangers would look so"
    assert verdict(0.2, 0.001) == "no sign of it, 1 of 5 strangers would look so"
    assert by_chance(12_000, 0.001) == "about 12 of 12,000 strangers would look so"
    assert by_chance(10, 1e-6) == "fewer than 0.1 of 10 strangers would look so"
