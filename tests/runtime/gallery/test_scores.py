"""Scores: one threshold is one false-match rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.scores import measure_pair, measure_pairs
from denet.data.records import Record
from denet.evaluate import Split
from denet.graph import RGB_NIR_TIR
from runtime.gallery import Gallery, GalleryError, Scores, Space, read_scores
from runtime.gallery.scores import LEAST_ERRORS, Pair, ScoreTable, rates_for, scores_text, sealed
from tests.runtime.gallery.people import COMPLETE, DIM, SPACE, TIR, person, search, table_of, unit

STATES = RGB_NIR_TIR.states


def impostors(number: int, seed: int, count: int) -> NDArray[np.float32]:
    """Cosines of strangers, distributed otherwise for each pair of states."""
    random = np.random.default_rng([seed, number])
    spread = 0.05 + 0.15 * (number % 7) / 7
    shape = random.gamma(2 + number % 5, spread / 3, count) - 0.4 + number / 200
    return np.clip(shape, -1, 1).astype(np.float32)


def test_one_threshold_is_one_false_match_rate() -> None:
    states = [(q, g) for q in STATES for g in STATES]
    pairs: dict[str, dict[str, Pair]] = {}
    for number, (q, g) in enumerate(states):
        none = np.empty(0, np.float32)
        pairs.setdefault(q.name, {})[g.name] = measure_pair(impostors(number, 0, 100_000), none)
    rates = tuple(rates_for(100_000).tolist())
    table = ScoreTable(
        dim=DIM, checkpoint="a", projection="", data="", variant="", identities=9, rates=rates,
        pairs=pairs,
    )  # fmt: skip
    scores = Scores(table, "scores.json")
    assert scores.least_rate == LEAST_ERRORS / 100_000
    by_cosine = []
    for rate in (0.3, 0.1, 0.01, 0.001):
        least = scores.threshold(rate)
        passed = []
        for number, (q, g) in enumerate(states):
            fresh = impostors(number, 1, 200_000)
            passed.append(np.mean(scores.score(q, g, fresh) >= least))
            by_cosine.append(np.mean(fresh >= 0.4))
        # Of 100,000 that made the table, and of 200,000 that try it: four standard errors.
        error = 4 * np.sqrt(rate * (1 / 100_000 + 1 / 200_000))
        assert np.all(np.abs(np.array(passed) - rate) <= error), rate
    assert max(by_cosine) > 100 * (min(by_cosine) + 1e-5)  # one cosine is all kinds of rates


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=60, max_size=400),
    st.lists(st.floats(-1, 1, width=32), max_size=30),
)
def test_a_pair_is_measured_as_it_is_defined(strangers: list[float], same: list[float]) -> None:
    pair = measure_pair(np.array(strangers, np.float32), np.array(same, np.float32))
    for rate, cosine, found in zip(
        rates_for(len(strangers)), pair.cosines, pair.found, strict=True
    ):
        above = sum(x > cosine + 1e-6 for x in strangers)
        assert above <= rate * len(strangers) + 1e-6
        assert sum(x >= cosine - 1e-6 for x in strangers) >= int(rate * len(strangers))
        least = sum(x > cosine + 1e-6 for x in same) / max(len(same), 1)
        most = sum(x >= cosine - 1e-6 for x in same) / max(len(same), 1)
        assert least - 1e-5 <= found <= most + 1e-5
    assert (pair.impostors, pair.genuine) == (len(strangers), len(same))


def test_pairs_of_samples_are_counted_once() -> None:
    records = tuple(Record(f"{i}", i // 4, i % 2, {}) for i in range(16))
    made = {s: unit(16, seed=n) for n, s in enumerate((COMPLETE, TIR))}
    pairs = measure_pairs(Split(records, records), made, made)
    strangers = sum(a.identity != b.identity for a in records for b in records)
    genuine = sum(
        a.identity == b.identity and a.camera != b.camera for a in records for b in records
    )
    alone, mixed = pairs[TIR.name][TIR.name], pairs[TIR.name][COMPLETE.name]
    assert (alone.impostors, alone.genuine) == (strangers // 2, genuine // 2)
    assert (mixed.impostors, mixed.genuine) == (strangers, genuine)
    with pytest.raises(CalibrationError, match="more people"):
        measure_pairs(Split(records[:6], records[:6]), *[{COMPLETE: unit(6)}] * 2)


def test_scores_never_fall_and_end_where_nothing_is_known() -> None:
    measured = measure_pair(impostors(3, 0, 5000), np.empty(0, np.float32))
    rates = tuple(rates_for(5000).tolist())
    table = table_of({(COMPLETE, TIR): list(measured.cosines)}).table
    scores = Scores(msgspec.structs.replace(table, rates=rates), "scores.json")
    found = scores.score(COMPLETE, TIR, np.linspace(-1, 1, 1000, dtype=np.float32))
    assert np.all(np.diff(found) >= 0)
    assert found[0] == 0
    # One impostor is the last that is counted, and a rate of two could still be its.
    assert np.log10(5000 / 2) <= found[-1] <= np.log10(5000)


def test_the_number_of_impostors_prefers_no_state(gallery: Gallery) -> None:
    """A state with more impostors shows lower rates; it must not win over a better match."""
    few, many = (measure_pair(impostors(3, 0, n), np.empty(0, np.float32)) for n in (1000, 9000))
    scores = table_of({(TIR, TIR): list(few.cosines), (TIR, COMPLETE): list(many.cosines)})
    near = unit(1)[0] + 0.1 * unit(1, seed=1)[0]
    near /= np.linalg.norm(near)
    gallery.enrol(SPACE, [person("alice", near, COMPLETE), person("alice", unit(1)[0], TIR)])
    found = search(gallery, unit(1)[0], state=TIR, scores=scores)[0]
    assert (found.entry, found.state) == (2, TIR)


def test_rates_that_cannot_be_told_are_refused() -> None:
    scores = table_of({(COMPLETE, TIR): [0.0, 0.5]})
    assert scores.threshold(0.01) == pytest.approx(2)
    for rate, word in ((1e-6, "cannot be told"), (0.0, "share"), (1.5, "share"), (np.nan, "share")):
        with pytest.raises(GalleryError, match=word):
            scores.threshold(rate)
    with pytest.raises(GalleryError, match=r"queries in tir against entries in tir"):
        scores.score(TIR, TIR, np.zeros(1, np.float32))


def test_scores_of_another_space_are_refused(gallery: Gallery, tmp_path: Path) -> None:
    scores = table_of({(COMPLETE, COMPLETE): [0.0, 0.5]})
    out = tmp_path / "scores.json"
    out.write_bytes(scores_text(scores.table))
    assert read_scores(out, SPACE).table == sealed(scores.table)
    other = Space(DIM, "a" * 64, "")
    with pytest.raises(GalleryError, match=r"scores\.json: cannot be compared: another projection"):
        read_scores(out, other)
    with pytest.raises(GalleryError, match="another projection"):
        gallery.search(other, unit(1), [COMPLETE], scores=scores)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="else"),
        lambda d: d.update(schema=2),
        lambda d: d.update(schema=3),
        lambda d: d.update(rates=[1, 1]),
        lambda d: d.update(rates=[0.5, 0.1]),
        lambda d: d.update(rates=[]),
        lambda d: d["pairs"]["tir"]["tir"].update(cosines=[0.0, 7e37]),
        lambda d: d["pairs"]["tir"]["tir"].update(found=[0.0, 0.5]),
        lambda d: d["pairs"]["tir"]["tir"].update(found=[2.0, 0.5]),
        lambda d: d.update(pairs={}),
        lambda d: d["pairs"].update(uv=d["pairs"]["tir"]),
        lambda d: d["pairs"]["tir"]["tir"].update(cosines=[0.5, 0.0]),
        lambda d: d["pairs"]["tir"]["tir"].update(cosines=[0.5, 0.6, 0.7]),
        lambda d: d["pairs"]["tir"]["tir"].update(impostors=0),
        lambda d: d.update(rates=[1, 0]),
        lambda d: d.pop("dim"),
    ],
)
def test_damaged_scores_are_one_clear_error(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    # Of before there was a digest: what it means is all that can be checked.
    document = msgspec.to_builtins(table_of({(TIR, TIR): [0.0, 0.5]}).table) | {"schema": 1}
    out = tmp_path / "scores.json"
    out.write_text(json.dumps(document))
    assert read_scores(out, SPACE).table.rates == tuple(document["rates"])
    change(document)
    out.write_text(json.dumps(document))
    with pytest.raises(GalleryError, match=r"scores\.json"):
        read_scores(out, SPACE)
    out.write_text("{")
    with pytest.raises(GalleryError, match=r"scores\.json: not a file of scores"):
        read_scores(out, SPACE)
    with pytest.raises(GalleryError, match="cannot be read"):
        read_scores(tmp_path, SPACE)


def test_no_flipped_bit_changes_a_score(tmp_path: Path) -> None:
    measured = measure_pair(impostors(3, 0, 500), impostors(4, 0, 50))
    scores = table_of({(TIR, TIR): list(measured.cosines)[:9], (COMPLETE, TIR): [0.0, 0.5]})
    out, good = tmp_path / "scores.json", scores_text(scores.table)
    chance, refused = np.random.default_rng(0), 0
    for place in chance.integers(0, 8 * len(good), 1500).tolist():
        content = bytearray(good)
        content[place // 8] ^= 1 << place % 8
        out.write_bytes(content)
        try:
            assert read_scores(out, SPACE).table == sealed(scores.table), place
        except GalleryError:
            refused += 1
    assert refused > 750


def test_a_digest_outlives_another_way_to_write_the_same(tmp_path: Path) -> None:
    table = sealed(table_of({(COMPLETE, TIR): [0.0, 1e-5, 0.5]}).table)
    out = tmp_path / "scores.json"
    document = json.loads(scores_text(table))
    out.write_text(json.dumps(dict(reversed(document.items()))))
    assert read_scores(out, SPACE).table == table
    document["rates"][1] *= 0.99
    out.write_text(json.dumps(document))
    with pytest.raises(GalleryError, match="damaged or changed"):
        read_scores(out, SPACE)
