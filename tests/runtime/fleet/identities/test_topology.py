"""Who can be where how soon, against all ways tried."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")

from runtime.fleet.identities.topology import AGAIN, CLOCKS, UNSEEN, Topology
from runtime.fleet.settings import IdentitySettings, TransitSettings

NAMES = tuple("abcde")


def drawn(seed: int, count: int = 8) -> IdentitySettings:
    random = np.random.default_rng(seed)
    ways = [(a, b) for a in NAMES for b in NAMES if a != b]
    chosen = random.choice(len(ways), count, replace=False)
    transits = []
    for n in chosen:
        least = float(random.uniform(1, 60))
        seconds = (least, least + float(random.uniform(1, 60)))
        transits.append(TransitSettings(origin=ways[n][0], to=ways[n][1], seconds=seconds))
    return IdentitySettings(window=1000.0, transits=tuple(transits))


def paths(settings: IdentitySettings, origin: str, to: str) -> list[list[TransitSettings]]:
    """All that pass no camera twice."""
    known = {(each.origin, each.to): each for each in settings.transits}
    found = []
    between = [name for name in NAMES if name not in (origin, to)]
    for length in range(len(between) + 1):
        for through in permutations(between, length):
            steps = list(zip((origin, *through), (*through, to), strict=True))
            if all(step in known for step in steps):
                found.append([known[step] for step in steps])
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_soonest_is_that_of_the_shortest_way(seed: int) -> None:
    settings = drawn(seed)
    topology = Topology(settings, NAMES)
    for a, origin in enumerate(NAMES):
        for b, to in enumerate(NAMES):
            ways = paths(settings, origin, to) if origin != to else []
            expected = min((sum(s.seconds[0] for s in way) for way in ways), default=0.0)
            expected = expected - CLOCKS if a != b else 0.0
            place = tuple(topology.numbers([origin, to]))
            assert topology.soonest[place] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_a_density_is_one(seed: int) -> None:
    """Whoever leaves a camera is next seen somewhere, at some time, or not in the window."""
    settings = drawn(seed)
    topology = Topology(settings, NAMES)
    gaps = np.arange(-20.0, 1001.0, 0.05)
    everywhere = topology.numbers(NAMES)
    for a in everywhere:
        whole = topology.density(np.full((5, 1), a), everywhere[:, None], gaps[None])
        mass = float(whole.sum() * 0.05)
        leads_on = any(each.origin == NAMES[int(a)] for each in settings.transits)
        assert mass <= 1.01
        assert mass >= (0.95 if leads_on else 0.9 * AGAIN)


def test_a_camera_that_missed_somebody() -> None:
    known = tuple(
        TransitSettings(origin=a, to=b, seconds=(10.0, 30.0)) for a, b in (("a", "b"), ("b", "c"))
    )
    topology = Topology(IdentitySettings(window=600.0, transits=known), ("a", "b", "c"))
    a, b, c = topology.numbers(["a", "b", "c"])
    direct = topology.density(a, b, np.array([20.0]))[0]
    past = topology.density(a, c, np.array([40.0]))[0]
    assert past == pytest.approx(direct * UNSEEN * 22 / 42, rel=0.1)
    # Too soon for that way; soon enough, but later than it takes.
    assert topology.density(a, c, np.array([15.0]))[0] == 0
    rest = AGAIN / (3 * 600)
    assert topology.density(a, c, np.array([100.0]))[0] == pytest.approx(rest)
    assert topology.density(a, c, np.array([700.0]))[0] == 0


def test_cameras_that_see_the_same_place() -> None:
    beside = (TransitSettings(origin="a", to="b", seconds=(-30.0, 20.0)),)
    topology = Topology(IdentitySettings(transits=beside), ("a", "b", "c"))
    a, b, c = topology.numbers(["a", "b", "c"])
    assert topology.soonest[a, b] == topology.soonest[b, a] == -30 - CLOCKS
    assert topology.soonest[a, c] == -CLOCKS
    assert topology.soonest[a, a] == 0


def test_without_any_ways_all_is_open() -> None:
    topology = Topology(IdentitySettings(window=600.0), ("a", "b"))
    a, b = topology.numbers(["a", "b"])
    found = topology.density(np.array([a, b]), np.array([b, a]), np.array([0.0, 599.0]))
    np.testing.assert_allclose(found, 1 / 1200)
