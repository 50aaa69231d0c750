"""Whom the gallery knows in a track, against each sighting written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.gallery import Enrolment, open_gallery
from runtime.gallery.scores import scores_text
from runtime.node.matching import AVERAGED, Matcher
from runtime.node.settings import GallerySettings
from tests.runtime.node.tracks.parts import FULL, SPACE, TIR, near, pooled, scores, unit


@pytest.mark.parametrize("scored", [True, False])
def test_the_score_is_the_mean_over_states_of_that_of_the_mean_cosine(
    scored: bool, tmp_path: Path
) -> None:
    chance = np.random.default_rng(0)
    people = {name: unit(chance) for name in ("alice", "bob", "carol")}
    table = scores()
    (tmp_path / "scores.json").write_bytes(scores_text(table.table))
    given = {"scores": str(tmp_path / "scores.json")} if scored else {"threshold": -1.0}
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        entries = [Enrolment(name, FULL, vector) for name, vector in people.items()]
        gallery.enrol(SPACE, entries)
        kept = {e.identity: e.embedding.astype(np.float16).astype(np.float64) for e in entries}
        matcher = Matcher(gallery, GallerySettings(url="g.db", **given), SPACE)
        tracks, expected = [], []
        for name in people:
            sightings = [
                (state, near(people[name], chance, 0.2), float(chance.uniform(0.1, 1)))
                for state in (FULL, FULL, TIR, FULL, TIR)
            ]
            tracks.append(pooled(*sightings))
            best: dict[str, float] = {}
            for who, entry in kept.items():
                total = weight = 0.0
                for state in (FULL, TIR):
                    mine = [(v.astype(np.float64), w) for s, v, w in sightings if s == state]
                    share = sum(w for _, w in mine)
                    mean = sum(w * float(v @ entry) for v, w in mine) / share
                    score = table.score(state, FULL, np.array([mean]))[0] if scored else mean
                    total, weight = total + share * score, weight + share
                best[who] = total / weight - (AVERAGED if scored else 0.0)
            expected.append(max(best.items(), key=lambda item: item[1]))
        found = matcher.pooled(tracks)
        single = matcher.pooled([pooled((TIR, people["bob"], 0.3))])[0]
        alone = matcher(people["bob"][None], [TIR])[0]
        assert matcher.pooled([]) == []
    for match, (who, score) in zip(found, expected, strict=True):
        assert match is not None
        assert match.identity == who
        assert match.score == pytest.approx(score, abs=2e-3)
        rate = match.false_match_rate
        assert rate == (pytest.approx(min(1.0, 10.0**-match.score)) if scored else None)
    # One sighting is matched as a crop is.
    assert single is not None
    assert alone is not None
    assert (single.identity, single.score) == (alone.identity, pytest.approx(alone.score, abs=1e-5))


def test_a_match_that_is_not_good_enough_is_none(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        gallery.enrol(SPACE, [Enrolment("alice", FULL, np.eye(8, dtype=np.float32)[0])])
        matcher = Matcher(gallery, GallerySettings(url="g.db", threshold=0.7), SPACE)
        track = pooled((FULL, near(np.eye(8, dtype=np.float32)[1], chance), 1.0))
        assert matcher.pooled([track]) == [None]
