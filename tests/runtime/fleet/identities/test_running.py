"""`denet fleet identify`, and what other commands make of identities."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.identities.keeping import identities_of
from runtime.fleet.identities.running import LOCK
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection, connect
from tests.command import denet, refused
from tests.paths import ROOT
from tests.runtime.fleet.drawn import put
from tests.runtime.fleet.identities.idf1 import brute_force_idf1
from tests.runtime.fleet.identities.test_keeping import nobody_is_in_two_places, owners
from tests.runtime.fleet.identities.walks import LINE, SECONDS, walks, write_walk_scores
from tests.runtime.node.waiting import until
from tests.runtime.postgres.server import PASSWORD, Server

NOISE = 0.5

WAYS = "".join(
    f'[[identities.transits]]\nfrom = "{one}"\nto = "{other}"\nseconds = {list(SECONDS)}\n'
    for one, other in pairwise(LINE)
)


def written(folder: Path, url: str) -> Path:
    path = folder / "fleet.toml"
    scores = write_walk_scores(folder / "scores.json", NOISE)
    path.write_text(
        f'[archive]\nurl = "{url}"\n[questions]\nscores = "{scores}"\n'
        f"[identities]\nwindow = 900\nevery = 0.2\n{WAYS}"
    )
    return path


@pytest.fixture
def config(url: str, tmp_path: Path) -> Path:
    return written(tmp_path, url)


def test_once(archive: Connection, config: Path) -> None:
    events, truth = walks(7, 3, noise=NOISE, every=60)
    put(archive, events)
    done = denet("fleet", "identify", config, "--once")
    assert done.exit_code == 0, done.output
    assert f"tracks {len(events)}, corrected" in done.output
    shown = denet("fleet", "status", config).output
    assert f"identities {len(set(owners(archive).values()))}" in shown
    assert brute_force_idf1(truth, owners(archive)) >= 0.95
    before = owners(archive)
    again = denet("fleet", "identify", config, "--once", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["decisions"]["tracks"] == 0
    assert owners(archive) == before


def test_a_camera_that_is_misspelled_is_told(archive: Connection, config: Path) -> None:
    put(archive, walks(1, 3, noise=NOISE)[0])
    config.write_text(config.read_text().replace('to = "gate"', 'to = "gaet"'))
    done = denet("fleet", "identify", config, "--once")
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert "nothing was heard yet of gaet" in said
    assert "There are door, gate, hall, yard" in said


def test_one_at_a_time(archive: Connection, config: Path, address: Address) -> None:
    put(archive, walks(2, 3, noise=NOISE)[0])
    with connect(address) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (LOCK, address.schema))
        refused(denet("fleet", "identify", config, "--once"), "another identifies")
        waiting = denet("fleet", "identify", config, "--for", "0.5")
        assert waiting.exit_code == 0
        assert "its end is waited for" in " ".join(waiting.output.split())
        assert owners(archive) == {}
    assert denet("fleet", "identify", config, "--for", "1").exit_code == 0
    assert len(owners(archive)) == 8


def start(config: Path) -> subprocess.Popen[bytes]:
    command = "import sys; sys.argv[0] = 'denet'; from cli import app; app()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "fleet", "identify", config],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.long)])
def test_killed_at_random_moments(archive: Connection, config: Path, kills: int) -> None:
    """Two processes, one of which waits, are killed in turns while tracks come and some are
    forgotten: each track has one identity at the end, and nobody is in two places."""
    chance = random.Random(0)
    events, truth = walks(40, 5, noise=NOISE)
    parts = [events[n :: kills + 1] for n in range(kills + 1)]
    put(archive, parts.pop())
    running = [start(config), start(config)]
    try:
        for part in parts:
            put(archive, part)
            until(lambda: len(owners(archive)) > 0)
            time.sleep(chance.uniform(0, 1.5))
            victim = running.pop(0)
            victim.kill()
            victim.wait()
            denet("fleet", "forget", config, chance.choice(sorted(truth)))
            running.append(start(config))
        left = {row[0] for row in archive.execute("SELECT key FROM tracks")}
        until(lambda: owners(archive).keys() == left)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert nobody_is_in_two_places(owners(archive), events)
    orphans = "SELECT track FROM former_members WHERE track NOT IN (SELECT key FROM tracks)"
    assert archive.execute(orphans).fetchall() == []


def test_a_database_that_comes_back(own: Server, tmp_path: Path) -> None:
    config = written(tmp_path, own.setting())
    assert denet("fleet", "roles", config).exit_code == 0
    process = start(config)
    try:
        time.sleep(1)
        own.kill()
        own.start()
        with own.admin() as admin:
            admin.execute("SET search_path = denet_fleet, public")
            put(admin, walks(3, 3, noise=NOISE)[0])  # type: ignore[arg-type]
            until(lambda: len(owners(admin)) == 12, 60)  # type: ignore[arg-type]
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_follow(archive: Connection, config: Path) -> None:
    put(archive, walks(7, 3, noise=NOISE, every=60)[0])
    denet("fleet", "identify", config, "--once")
    name, keys = max(
        (
            (name, [key for key, owner in owners(archive).items() if owner == name])
            for name in set(owners(archive).values())
        ),
        key=lambda each: len(each[1]),
    )
    facts = json.loads(denet("fleet", "follow", keys[0], "--config", config, "--json").stdout)
    assert facts["identity"] == name
    assert {keys[0]} | {each["key"] for each in facts["found"]} == set(keys)
    shown = denet("fleet", "follow", name, "--config", config, "--camera", "hall,yard").output
    assert "1 of" in shown
    assert "strangers would look so" in shown
    assert "gate/" not in shown
    assert f"{name}: joined by looks, times and ways" in shown
    alone = denet("fleet", "follow", keys[0], "--config", config, "--looks", "--json")
    assert json.loads(alone.stdout)["identity"] is None
    refused(denet("fleet", "follow", "identity-none", "--config", config), "no such identity")
    # An id of before.
    archive.execute("INSERT INTO former_members VALUES (%s, 'identity-old')", (keys[1],))
    old = denet("fleet", "follow", "identity-old", "--config", config)
    assert f"identity-old is {name} now" in " ".join(old.output.split())
    other = next(key for key, owner in owners(archive).items() if owner != name)
    archive.execute("INSERT INTO former_members VALUES (%s, 'identity-old')", (other,))
    apart = denet("fleet", "follow", "identity-old", "--config", config)
    refused(apart, "was taken apart", f"{name} (tracks: {len(keys)})")


def test_count(archive: Connection, config: Path) -> None:
    put(archive, walks(7, 3, noise=NOISE, every=60)[0])
    before = json.loads(denet("fleet", "count", "--config", config, "--json").stdout)
    assert (before["identities"], before["alone"]) == (0, 28)
    denet("fleet", "identify", config, "--once")
    counted = json.loads(denet("fleet", "count", "--config", config, "--json").stdout)
    assert counted["identities"] == len(set(owners(archive).values()))
    assert counted["alone"] == 0
    shown = denet("fleet", "count", "--config", config).output
    assert f"identities: {counted['identities']}" in shown


def test_forget_an_identity(archive: Connection, config: Path) -> None:
    put(archive, walks(3, 3, noise=NOISE, every=60)[0])
    denet("fleet", "identify", config, "--once")
    found = owners(archive)
    name = found[next(iter(found))]
    mine = [key for key, owner in found.items() if owner == name]
    done = denet("fleet", "forget", config, name)
    assert done.output.strip() == f"tracks forgotten: {len(mine)}"
    assert identities_of(archive, name) == {}
    assert len(owners(archive)) == len(found) - len(mine)
    refused(denet("fleet", "forget", config, name), "no such identity")


def test_an_archive_without_identities_is_brought_up_to_date(
    archive: Connection, config: Path, url: str, postgres: Server
) -> None:
    """And who could keep or ask still can."""
    schema = url.rpartition("=")[2]
    role = f"{schema}_keep"
    archive.execute("DROP TABLE members, former_members")
    archive.execute("UPDATE archive SET version = 1")
    archive.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    archive.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    archive.execute(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
    )
    put(archive, walks(2, 3, noise=NOISE)[0])
    refused(denet("fleet", "status", config), "without identities", "denet fleet roles")
    text = config.read_text()
    config.write_text(re.sub("postgres@", f"{role}@", text))
    refused(denet("fleet", "roles", config), "may not do that")
    config.write_text(text)
    assert denet("fleet", "roles", config, "--keep", f"{schema}_other").exit_code == 0
    config.write_text(re.sub("postgres@", f"{role}@", text))
    assert denet("fleet", "identify", config, "--once").exit_code == 0
    assert len(owners(archive)) == 8
    assert archive.execute("SELECT version FROM archive").fetchone() == (2,)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("window = 3", ["identities.window"]),
        ('[[identities.transits]]\nfrom = "a"\nto = "b"\nseconds = [9, 3]', ["greater most"]),
        ('[[identities.transits]]\nfrom = "a"\nto = "b"\nseconds = [9, 9000]', ["raise it"]),
        (
            '[[identities.transits]]\nfrom = "a"\nseconds = [9, 90]',
            ["identities.transits[0].to: is missing"],
        ),
        (
            2 * '[[identities.transits]]\nfrom = "a"\nto = "b"\nseconds = [9, 90]\n',
            ["two are from a to b"],
        ),
    ],
)
def test_settings(tmp_path: Path, lines: str, words: list[str]) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(f'[archive]\nurl = "postgresql://a@localhost/b"\n[identities]\n{lines}\n')
    refused(denet("fleet", "identify", path), str(path), *words)


def test_what_it_cannot_do_without(
    archive: Connection, config: Path, new_schema: Callable[[], str], postgres: Server
) -> None:
    refused(denet("fleet", "identify", config, "--once", "--for", "3"), "exclude each other")
    text = config.read_text()
    config.write_text(text.replace("[questions]", "[questions]\nbundle = 'b'\n#"))
    config.write_text(re.sub("scores = .*", "", text))
    refused(denet("fleet", "identify", config), "questions.scores: is missing")
    missing = postgres.setting(f"schema={new_schema()}")
    config.write_text(re.sub('url = ".*"', f'url = "{missing}"', text))
    refused(denet("fleet", "identify", config), "there is no archive yet")
