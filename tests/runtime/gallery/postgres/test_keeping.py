"""Commands on both kinds of gallery: copies, ages, and forgetting for good."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime.gallery import Enrolment, Gallery, GalleryError, Space, open_gallery
from tests.command import denet, refused
from tests.runtime.gallery.people import COMPLETE, SPACE, person, table_of, unit
from tests.runtime.postgres.server import Server

Schema = Callable[[], str]

STATES = RGB_NIR_TIR.states


def some(gallery: Gallery, count: int = 300) -> None:
    """People, of which some are removed: their ids are not used again."""
    vectors = unit(count)
    gallery.enrol(
        SPACE,
        [
            Enrolment(f"p{i % 90}", STATES[i % 7], v, float(i), f"gate {i}", {"i": i})
            for i, v in enumerate(vectors)
        ],
    )
    for who in ("p3", f"p{min(count, 90) - 1}"):
        gallery.remove(who)


def test_ranking_is_the_file_s_for_all_pairs_of_states(
    postgres: Server, new_schema: Schema, tmp_path: Path
) -> None:
    """Through both ways of search, with rounded embeddings, ties and near ties."""
    file, central = str(tmp_path / "g.db"), postgres.setting(f"schema={new_schema()}")
    random = np.random.default_rng(3)
    dim = 64
    space = Space(dim, "a" * 64, "b" * 64)
    people = unit(1500, dim)
    people[500:700] = people[0] + 1e-3 * random.standard_normal((200, dim))  # near ties
    people[700:760] = people[1]  # ties
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    given = [
        Enrolment(f"p{i % 400}", STATES[int(random.integers(7))], v, float(i))
        for i, v in enumerate(people)
    ]
    with open_gallery(file, create=True) as gallery:
        gallery.enrol(space, given)
    assert denet("gallery", "move", file, central).exit_code == 0
    curves = {(q, g): sorted((random.uniform(-0.9, 1, 8)).tolist()) for q in STATES for g in STATES}
    scores = table_of(curves, space)
    with (
        open_gallery(file) as truth,
        open_gallery(central) as mirror,
        open_gallery(f"{central}&search=database") as database,
    ):
        for number in range(98):
            noise = 0.3 * random.standard_normal(dim) / 8
            query = people[number % 3] + noise if number % 2 else random.standard_normal(dim)
            query = (query / np.linalg.norm(query)).astype(np.float32)[None]
            state, top = STATES[number % 7], int(random.integers(1, 30))
            for used in (None, scores):
                asked = (space, query, [state])
                expected = truth.search(*asked, top=top, scores=used)
                assert mirror.search(*asked, top=top, scores=used) == expected
                assert database.search(*asked, top=top, scores=used) == expected


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_a_copy_is_the_same_there_and_back(
    postgres: Server, new_schema: Schema, tmp_path: Path, storage: str
) -> None:
    first, second = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    central = postgres.setting(f"schema={new_schema()}")
    with open_gallery(first, create=True, storage=storage) as gallery:
        some(gallery)
        expected = gallery.entries()
        found = gallery.search(SPACE, unit(20, seed=5), [COMPLETE] * 20)
    for source, target in ((first, central), (central, second)):
        done = denet("gallery", "move", source, target)
        assert done.exit_code == 0, done.output
        assert f"entries: {len(expected)}" in done.output
        with open_gallery(target) as gallery:
            assert gallery.entries() == expected
            assert gallery.search(SPACE, unit(20, seed=5), [COMPLETE] * 20) == found
    with open_gallery(second) as gallery:
        (new,) = gallery.enrol(SPACE, [person("new", unit(1)[0])])
    assert new == 301  # ids of who was removed last are not used again
    refused(denet("gallery", "move", first, central), "somebody was enrolled already")
    refused(denet("gallery", "move", first, second), "somebody was enrolled already")


def test_a_copy_of_a_damaged_gallery_is_none(
    postgres: Server, new_schema: Schema, tmp_path: Path
) -> None:
    central, out = postgres.setting(f"schema={(schema := new_schema())}"), tmp_path / "out.db"
    with open_gallery(central, create=True) as gallery:
        some(gallery, 20)
    with postgres.admin() as admin:
        admin.execute(f"DELETE FROM {schema}.entries WHERE id = 5")
    refused(denet("gallery", "move", central, out), "is damaged")
    with open_gallery(str(out), create=True) as gallery:
        assert gallery.entries() == []


def test_what_is_old_is_forgotten(fresh: Callable[[], str]) -> None:
    setting = fresh()
    with open_gallery(setting, create=True) as gallery:
        now = person("new", unit(1)[0])
        gallery.enrol(SPACE, [person("old", unit(1)[0]), replace(now, time=4e9)])
    done = denet("gallery", "expire", setting, "--days", 30)
    assert "older than 30 days removed: 1" in done.output, done.output
    with open_gallery(setting) as gallery:
        assert [entry.identity for entry in gallery.entries()] == ["new"]
    assert "removed: 0" in denet("gallery", "expire", setting, "--days", 30).output
    assert denet("gallery", "check", setting).exit_code == 0
    assert denet("gallery", "expire", setting, "--days", "-1").exit_code == 2


def test_who_is_erased_is_said_to_remain_where(fresh: Callable[[], str]) -> None:
    setting = fresh()
    with open_gallery(setting, create=True) as gallery:
        some(gallery)
    done = denet("gallery", "erase", setting, "p7")
    assert done.exit_code == 0, done.output
    for word in ("erased: 4", "backups", "events", "the memory of nodes"):
        assert word in done.output, done.output
    facts = json.loads(denet("gallery", "erase", setting, "p8", "--json").stdout)
    assert (facts["erased"], facts["overwritten"]) == (4, True)
    refused(denet("gallery", "erase", setting, "p7"), "no identity 'p7'")
    with open_gallery(setting) as gallery:
        assert gallery.entries("p7") == gallery.entries("p8") == []
        assert len(gallery.entries("p9")) == 4
        gallery.check()  # type: ignore[attr-defined]


def test_what_is_erased_is_out_of_the_files_of_the_tables(
    postgres: Server, new_schema: Schema
) -> None:
    """Removed it is only dead; erased it is gone from the tables, and in the log for a while."""
    space, setting = Space(512, "a" * 64, ""), postgres.setting(f"schema={new_schema()}")
    vectors = unit(3, 512)
    mark = vectors[0].astype("<f2").tobytes()[:64]

    def in_files(folder: str) -> bool:
        with postgres.admin() as admin:
            admin.execute("CHECKPOINT")
        files = [p for p in (postgres.data / folder).rglob("*") if p.is_file()]
        return any(mark in path.read_bytes() for path in files)

    with open_gallery(setting, create=True) as gallery:
        people = [person(n, v) for n, v in zip(("a", "b", "c"), vectors, strict=True)]
        gallery.enrol(space, people)
        assert in_files("base")
        gallery.remove("a")
        assert in_files("base")
        gallery.enrol(space, [people[0]])
        assert gallery.erase("a").overwritten  # type: ignore[attr-defined]
        assert not in_files("base")
        assert in_files("pg_wal")
        assert {m.identity for m in gallery.search(space, vectors[:1], [COMPLETE])[0]} == {"b", "c"}


def test_an_approximate_search_says_what_it_misses(postgres: Server, new_schema: Schema) -> None:
    setting = postgres.setting(f"schema={(schema := new_schema())}")
    with open_gallery(setting, create=True) as gallery:
        refused(denet("gallery", "index", setting), "nobody is enrolled")
        some(gallery)
    with (
        open_gallery(f"{setting}&search=approximate") as gallery,
        pytest.raises(GalleryError, match="no index"),
    ):
        gallery.search(SPACE, unit(1), [COMPLETE])
    facts = json.loads(denet("gallery", "index", setting, "--queries", 20, "--json").stdout)
    assert 0.5 < facts["recall"]["mean"] <= 1
    assert facts["recall"]["queries"] == 20
    assert "of the 10 best" in denet("gallery", "index", setting, "--queries", 3).output
    queries = unit(30, seed=9)
    with (
        open_gallery(f"{setting}&search=approximate") as near,
        open_gallery(f"{setting}&search=database") as exact,
        open_gallery(setting) as mirror,
    ):
        found = near.search(SPACE, queries, [COMPLETE] * 30)
        truth = mirror.search(SPACE, queries, [COMPLETE] * 30)
        assert exact.search(SPACE, queries, [COMPLETE] * 30) == truth  # whatever indexes there are
        shared = sum(
            a in b for f, t in zip(found, truth, strict=True) for a, b in [(m, t) for m in f]
        )
        assert shared > 0.5 * sum(map(len, truth))
    with postgres.admin() as admin:
        admin.execute(f"SET search_path = {schema}, public")
        admin.execute("SET enable_seqscan = off")
        plan = admin.execute(
            "EXPLAIN SELECT id FROM entries_rgb_nir_tir ORDER BY (embedding <#> "
            "'[1,0,0,0,0,0,0,0]'::halfvec) + 0, id LIMIT 3"
        ).fetchall()
    assert not any("approximate" in str(row[0]) for row in plan)  # exact though it is there


def test_commands_of_the_one_kind_are_refused_for_the_other(
    postgres: Server, new_schema: Schema, tmp_path: Path
) -> None:
    setting = postgres.setting(f"schema={new_schema()}")
    open_gallery(setting, create=True).close()
    refused(denet("gallery", "backup", setting, tmp_path / "b.db"), "denet gallery move")
    for command in ("roles", "index"):
        refused(denet("gallery", command, tmp_path / "g.db"), "is a file")
