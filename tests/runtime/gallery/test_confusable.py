"""Who is nearer to somebody else than strangers are, against all pairs written out."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from runtime.gallery import Gallery
from runtime.gallery.confusable import find_confusable
from runtime.gallery.scores import scores_text
from tests.command import denet
from tests.paths import SAMPLES
from tests.runtime.gallery.people import COMPLETE, SPACE, TIR, person, table_of, unit

COSINES = [float(c) for c in np.linspace(-1.0, 0.9, 20)]
"""At rates that fall by a quarter of a decade: 0.001 from a cosine of 0.2 on."""


@pytest.mark.parametrize("seed", range(3))
def test_all_pairs_that_are_too_near_are_found(each_gallery: Gallery, seed: int) -> None:
    scores = table_of({(COMPLETE, COMPLETE): COSINES, (TIR, COMPLETE): COSINES})
    old = [person(f"old {i}", v) for i, v in enumerate(unit(6, seed=seed))]
    new = [person(f"new {i // 2}", v) for i, v in enumerate(unit(8, seed=seed + 10))]
    each_gallery.enrol(SPACE, old)
    each_gallery.enrol(SPACE, new)
    found = find_confusable(each_gallery, SPACE, new, scores)
    least = scores.threshold(0.001)
    best: dict[str, float] = {}
    for one, other in combinations([*old, *new], 2):
        if one.identity != other.identity:
            cosine = np.array([one.embedding @ other.embedding], np.float32)
            score = scores.score(COMPLETE, COMPLETE, cosine)[0]
            for name in (one.identity, other.identity):
                best[name] = max(best.get(name, 0.0), float(score))
    near = {e.identity for e in new if best[e.identity] >= least}
    assert found.near >= len(near)
    assert near <= {name for pair in found.pairs for name in (pair.identity, pair.other)}
    assert found.people == 4
    assert all(pair.rate <= 0.001 for pair in found.pairs)
    strangers = sum(e.identity != o.identity for e in new for o in [*old, *new])
    assert found.expected == pytest.approx(0.001 * strangers)
    assert [pair.rate for pair in found.pairs] == sorted(pair.rate for pair in found.pairs)
    assert len(found.lines()) == min(len(found.pairs), 3) + 1


def test_one_person_is_near_to_themselves_only(gallery: Gallery) -> None:
    scores = table_of({(COMPLETE, COMPLETE): COSINES})
    axes = np.eye(8, dtype=np.float32)
    people = [person("a", axes[0]), person("a", axes[0]), person("b", axes[1])]
    gallery.enrol(SPACE, people)
    found = find_confusable(gallery, SPACE, people, scores)
    assert found.pairs == ()
    assert found.lines() == []


def test_two_names_of_one_person_are_told(
    bundle_path: Path, scored_path: Path, path: Path, tmp_path: Path
) -> None:
    one = ("--tir", SAMPLES / "TI" / "000004_cam1_0_00.jpg")
    enrol = ("gallery", "enrol", path, "--bundle", scored_path, *one)
    done = denet(*enrol, "--identity", "dora")
    assert "warning" not in done.stderr
    done = denet(*enrol, "--identity", "doris")
    assert done.exit_code == 0
    assert "warning: doris and dora are nearer to each other" in done.stderr
    assert "1 of 1 people have somebody so near" in done.stderr
    facts = json.loads(denet(*enrol, "--identity", "theodora", "--json").stdout)
    (pair,) = facts["near"]
    assert (pair["identity"], pair["rate"]) == ("theodora", 0.0)
    assert pair["cosine"] == pytest.approx(1, abs=1e-3)
    without = ("gallery", "enrol", path, "--bundle", bundle_path, *one, "--identity", "x")
    assert "is not known" in denet(*without).stderr
    assert json.loads(denet(*without, "--json").stdout)["near"] is None
    written = tmp_path / "s.json"
    written.write_bytes(scores_text(table_of({(COMPLETE, COMPLETE): COSINES}).table))
    assert "another model" in denet(*without, "--scores", written).stderr
