"""Ways between cameras that an archive shows: those that there are, and no others."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.identities.scan import scan
from runtime.fleet.settings import FleetSettings, read_fleet_settings
from runtime.postgres.connecting import Connection
from tests.command import denet, refused
from tests.runtime.fleet.drawn import event, put
from tests.runtime.fleet.identities.walks import LINE, SECONDS, walks, write_walk_scores


@pytest.fixture
def config(url: str, tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    scores = write_walk_scores(tmp_path / "scores.json")
    path.write_text(f'[archive]\nurl = "{url}"\n[questions]\nscores = "{scores}"\n')
    return path


def test_the_ways_of_a_line(archive: Connection, config: Path) -> None:
    events, _ = walks(40, 1)
    put(archive, events)
    facts = json.loads(denet("fleet", "topology", config, "--json").stdout)
    assert (facts["tracks"], facts["asked"]) == (160, 16)
    direct = {(w["origin"], w["to"]): w for w in facts["transits"] if not w["past"]}
    assert direct.keys() == set(pairwise(LINE))
    for way in direct.values():
        assert way["least"] <= SECONDS[0] <= SECONDS[1] <= way["most"]
        assert way["most"] <= 1.5 * SECONDS[1]
        assert way["alike"] > 5 * way["chance"]
        assert way["p"] < 1e-6
    past = {(w["origin"], w["to"]): w["past"] for w in facts["transits"] if w["past"]}
    assert past[("door", "yard")] == "hall"
    shown = denet("fleet", "topology", config)
    assert "past hall" in shown.output
    assert "below 1 in 1,000,000" in shown.output


def test_what_is_printed_is_a_configuration(archive: Connection, config: Path) -> None:
    put(archive, walks(40, 1)[0])
    printed = denet("fleet", "topology", config, "--toml").stdout
    assert len(msgspec.toml.decode(printed)["identities"]["transits"]) == 3
    config.write_text(f"{config.read_text()}\n[identities]\nwindow = 3600\n\n{printed}")
    settings: FleetSettings = read_fleet_settings(config)
    assert [(t.origin, t.to) for t in settings.identities.transits] == list(pairwise(LINE))


def test_people_who_do_not_come_again(archive: Connection, config: Path) -> None:
    """Everybody is seen once: nothing is a way, however many cameras are asked."""
    for n, camera in enumerate(LINE):
        put(archive, walks(40, 10 + n, cameras=[camera])[0])
    done = denet("fleet", "topology", config)
    assert json.loads(denet("fleet", "topology", config, "--json").stdout)["transits"] == []
    assert "ask again when more has been seen" in " ".join(done.output.split())


def test_what_it_refuses(archive: Connection, config: Path) -> None:
    refused(denet("fleet", "topology", config), "no tracks yet that were embedded")
    put(archive, [event()])
    refused(denet("fleet", "topology", config, "--toml", "--json"), "exclude each other")
    config.write_text(config.read_text().partition("[questions]")[0])
    refused(denet("fleet", "topology", config), "questions.scores: is missing")


def test_chance_alone_is_rarely_a_way() -> None:
    """Of 300 draws of pairs that look alike by chance, one in ten has a p below 0.1."""
    random = np.random.default_rng(0)
    rare = 0
    for seed in range(300):
        pairs = random.integers(5, 60, 20)
        alike = random.binomial(pairs, 0.05)
        other = (400, int(random.binomial(400, 0.05)))
        found = scan(pairs, alike, other, seed)
        rare += found is not None and found.p < 0.1
    assert 10 <= rare <= 50


def test_a_way_stands_out() -> None:
    random = np.random.default_rng(0)
    pairs = np.full(20, 40)
    likely = np.full(20, 0.05)
    likely[8:11] = 0.4
    found = scan(pairs, random.binomial(pairs, likely), (400, 20))
    assert found is not None
    assert (found.first, found.last) == (8, 10)
    assert found.p < 1e-6
    assert found.chance == pytest.approx(120 * 0.05, rel=0.4)
    assert scan(pairs, np.zeros(20, int), (400, 0)) is None
    assert scan(pairs, pairs, (400, 400)) is None
