"""The gallery: exact against brute force, safe from a crash, honest on what it cannot tell."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.scores import measure_pair, measure_pairs, measure_scores
from denet.data.records import Record
from denet.evaluate import Split
from denet.graph import RGB_NIR_TIR, State
from runtime import Runtime
from runtime.gallery import (
    Enrolment,
    Gallery,
    GalleryError,
    Match,
    Scores,
    Space,
    database,
    index,
    open_gallery,
    read_scores,
)
from runtime.gallery.scores import LEAST_ERRORS, Pair, ScoreTable, rates_for
from runtime.gallery.storage import STORAGES, Storage, decode, encode, size
from tests.command import denet, refused
from tests.paths import ROOT

STATES = RGB_NIR_TIR.states

DIM = 8
SPACE = Space(DIM, "a" * 64, "b" * 64)
COMPLETE, TIR = STATES[0], STATES[-1]

relaxed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with open_gallery(str(path), create=True, storage="float32") as opened:
        yield opened


def unit(rows: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def person(name: str, vector: NDArray[np.float32], state: State = COMPLETE) -> Enrolment:
    return Enrolment(name, state, vector, time=1.0)


def search(gallery: Gallery, vector: NDArray[np.float32], **options: Any) -> list[Match]:
    return gallery.search(SPACE, vector[None], [options.pop("state", COMPLETE)], **options)[0]


# --- exactness ---------------------------------------------------------------------------------

# Four numbers of +-1/2 in one of two places: norms and cosines are exact in float32, and tie often.
exact = st.builds(
    lambda signs, place: np.roll(np.array([*signs, 0, 0, 0, 0], np.float32) / 2, 2 * place),
    st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4),
    st.integers(0, 2),
)
enrolled = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(STATES), exact), min_size=1, max_size=40
)


def table_of(cosines: dict[tuple[State, State], list[float]]) -> Scores:
    pairs: dict[str, dict[str, Pair]] = {}
    for (query, entry), values in cosines.items():
        pairs.setdefault(query.name, {})[entry.name] = Pair(
            impostors=10**6, genuine=0, cosines=tuple(values), found=tuple([0.0] * len(values))
        )
    longest = max(map(len, cosines.values()))
    table = ScoreTable(
        dim=SPACE.dim,
        checkpoint=SPACE.checkpoint,
        projection=SPACE.projection,
        data="drawn",
        variant="fp32",
        identities=2,
        rates=tuple((10.0 ** (-np.arange(longest) / 4)).tolist()),
        pairs=pairs,
    )
    return Scores(table, "scores.json")


curves = st.lists(st.integers(-8, 8).map(lambda n: n / 8), min_size=2, max_size=6, unique=True).map(
    sorted
)


def brute_force(
    rows: list[tuple[int, State, NDArray[np.float32]]],
    query: NDArray[np.float32],
    state: State,
    top: int,
    scores: Scores | None,
) -> list[tuple[str, float, float, int]]:
    """All entries one by one, in float64; of each identity the best."""
    found = []
    for number, (who, entry_state, vector) in enumerate(rows, 1):
        cosine = sum(float(a) * float(b) for a, b in zip(query, vector, strict=True))
        score = cosine
        if scores is not None:
            score = float(scores.score(state, entry_state, np.array([cosine], np.float32))[0])
        found.append((-score, -cosine, number, f"p{who}"))
    best: dict[str, tuple[str, float, float, int]] = {}
    for score, cosine, number, name in sorted(found):
        best.setdefault(name, (name, -score, -cosine, number))
    return list(best.values())[:top]


@relaxed
@given(
    rows=enrolled,
    query=exact,
    state=st.sampled_from(STATES),
    top=st.integers(1, 8),
    curves=st.none() | st.lists(curves, min_size=7, max_size=7),
    block=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
def test_search_is_brute_force(
    rows: list[tuple[int, State, NDArray[np.float32]]],
    query: NDArray[np.float32],
    state: State,
    top: int,
    curves: list[list[float]] | None,
    block: int,
    cuts: list[int],
) -> None:
    scores = None
    if curves is not None:
        scores = table_of(dict(zip(((state, s) for s in STATES), curves, strict=True)))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(index, "BLOCK", block)
        with open_gallery(f"{folder}/g.db", create=True, storage="float32") as gallery:
            edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
            for start, end in pairwise(edges):
                people = [person(f"p{who}", v, s) for who, s, v in rows[start:end]]
                gallery.enrol(SPACE, people)
                search(gallery, query)  # memory is brought up to date in steps
            found = search(gallery, query, state=state, top=top, scores=scores)
    expected = brute_force(rows, query, state, top, scores)
    assert [(m.identity, m.score, m.cosine, m.entry) for m in found] == expected


@relaxed
@given(rows=enrolled, gone=st.sets(st.integers(0, 6)), query=exact, block=st.integers(1, 9))
def test_what_is_removed_is_not_found(
    rows: list[tuple[int, State, NDArray[np.float32]]],
    gone: set[int],
    query: NDArray[np.float32],
    block: int,
) -> None:
    there = {who for who, _, _ in rows}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(index, "BLOCK", block)
        with (
            open_gallery(f"{folder}/g.db", create=True, storage="float32") as gallery,
            open_gallery(f"{folder}/g.db", create=True) as other,
        ):
            ids = gallery.enrol(SPACE, [person(f"p{who}", v, s) for who, s, v in rows])
            assert search(gallery, query) == search(other, query)
            for who in gone & there:
                gallery.remove(f"p{who}")
            new = gallery.enrol(SPACE, [person("new", query)])
            found, seen = search(gallery, query, top=20), search(other, query, top=20)
    kept = [(i, row) for i, row in zip(ids, rows, strict=True) if row[0] not in gone]
    # What was first among equals stays first: the new one is last, and no id is used again.
    expected = brute_force([row for _, row in kept], query, COMPLETE, 20, None)
    assert [(m.identity, m.cosine) for m in found if m.identity != "new"] == [
        (name, cosine) for name, _, cosine, _ in expected
    ]
    assert [m.entry for m in found if m.identity != "new"] == [
        kept[number - 1][0] for _, _, _, number in expected
    ]
    assert new[0] > max(ids)
    assert seen == found


def test_many_queries_are_searched_as_one_is(gallery: Gallery) -> None:
    people, queries = unit(300), unit(150, seed=1)
    gallery.enrol(SPACE, [person(f"p{i % 90}", v, STATES[i % 7]) for i, v in enumerate(people)])
    together = gallery.search(SPACE, queries, [COMPLETE] * 150, top=3)
    for query, found in zip(queries, together, strict=True):
        alone = search(gallery, query, top=3)
        assert [m.entry for m in found] == [m.entry for m in alone]
        assert [m.cosine for m in found] == pytest.approx([m.cosine for m in alone], abs=1e-6)


def test_an_identity_is_as_good_as_its_best_entry(gallery: Gallery) -> None:
    query, near, far = unit(1)[0], unit(1)[0], -unit(1)[0]
    gallery.enrol(SPACE, [person("alice", far), person("bob", unit(1, seed=3)[0])])
    gallery.enrol(SPACE, [person("alice", near, TIR)])
    first = search(gallery, query)[0]
    assert (first.identity, first.entry, first.state) == ("alice", 3, TIR)
    assert first.cosine == pytest.approx(1, abs=1e-6)


def test_hundreds_of_entries_of_one_identity_do_not_hide_the_next(gallery: Gallery) -> None:
    vectors = unit(400, seed=2)
    query = vectors[0]
    order = np.argsort(-(vectors @ query))
    names = np.full(400, "many", dtype=object)
    names[order[390:]] = [f"p{i}" for i in range(10)]
    gallery.enrol(SPACE, [person(n, v) for n, v in zip(names, vectors, strict=True)])
    assert [m.identity for m in search(gallery, query, top=4)] == ["many", "p0", "p1", "p2"]


def test_an_empty_gallery_finds_nobody(gallery: Gallery) -> None:
    assert search(gallery, unit(1)[0]) == []
    assert gallery.entries() == []
    assert gallery.enrol(SPACE, []) == []


@pytest.mark.slow
def test_a_hundred_thousand_are_searched_exactly(path: Path) -> None:
    space = Space(512, "a" * 64, "")
    people = unit(100_000, 512)
    queries = unit(20, 512, seed=1)
    with open_gallery(str(path), create=True, storage="float32") as gallery:
        for start in range(0, len(people), 10_000):
            gallery.enrol(
                space,
                [
                    person(f"p{i // 2}", people[i], STATES[i % 7])
                    for i in range(start, start + 10_000)
                ],
            )
        for query in queries:
            found = gallery.search(space, query[None], [COMPLETE], top=10)[0]
            truth = people.astype(np.float64) @ query.astype(np.float64)
            best = np.sort(truth.reshape(-1, 2).max(axis=1))[::-1][:10]
            assert [m.cosine for m in found] == pytest.approx(best, abs=1e-6)
            assert all(truth[m.entry - 1] == pytest.approx(m.cosine, abs=1e-6) for m in found)


# --- storage -----------------------------------------------------------------------------------

vectors_of_floats = st.lists(st.floats(-1, 1, width=32), min_size=DIM, max_size=DIM).filter(
    lambda v: np.linalg.norm(v) > 0.1
)


@given(
    vectors=st.lists(vectors_of_floats, min_size=1, max_size=5),
    query=vectors_of_floats,
    storage=st.sampled_from(STORAGES),
)
def test_what_is_stored_is_within_its_bound(
    vectors: list[list[float]], query: list[float], storage: Storage
) -> None:
    exact = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    direction = np.array(query) / np.linalg.norm(query)
    blobs = encode(exact.astype(np.float32), storage)
    assert {len(blob) for blob in blobs} == {size(storage, DIM)}
    found = decode(blobs, storage, DIM).astype(np.float64)
    steps = np.abs(exact).max(axis=1) / 127
    bounds = {"float32": 1e-6, "float16": 5e-4, "int8": steps * np.sqrt(DIM)}
    error = np.abs(found @ direction - exact @ direction)
    assert np.all(error <= bounds[storage] + 1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_typical_errors_of_storage_are_far_below_their_bounds() -> None:
    people, queries = unit(500, 512), unit(50, 512, seed=1)
    truth = queries.astype(np.float64) @ people.astype(np.float64).T
    for storage, most in (("float32", 2e-7), ("float16", 1e-4), ("int8", 3e-3)):
        found = decode(encode(people, storage), storage, 512)  # type: ignore[arg-type]
        assert np.abs(queries @ found.T - truth).max() < most


@pytest.mark.parametrize("storage", STORAGES)
def test_a_gallery_keeps_its_storage(path: Path, storage: Storage) -> None:
    vector = unit(1)[0]
    with open_gallery(str(path), create=True, storage=storage) as gallery:
        gallery.enrol(SPACE, [person("alice", vector)])
    with open_gallery(str(path)) as gallery:
        gallery.enrol(SPACE, [person("bob", vector)])
        cosines = [m.cosine for m in search(gallery, vector)]
    assert cosines == pytest.approx([1, 1], abs=1e-6 if storage != "int8" else 1e-4)
    other = next(s for s in STORAGES if s != storage)
    with pytest.raises(GalleryError, match=f"stores {storage}, not {other}"):
        open_gallery(str(path), storage=other)


def test_entries_keep_what_was_given(path: Path) -> None:
    given = Enrolment("Zoë", TIR, unit(1)[0], 12.5, "gate 3", {"camera": 3, "tags": ["x"]})
    with open_gallery(f"file:{path}", create=True) as gallery:
        gallery.enrol(SPACE, [given])
    with open_gallery(str(path)) as gallery:
        entry = gallery.entries("Zoë")[0]
        assert gallery.entries("nobody") == []
    assert (entry.identity, entry.state, entry.time) == ("Zoë", TIR, 12.5)
    assert (entry.source, entry.metadata, entry.space) == ("gate 3", given.metadata, SPACE)
    assert path.stat().st_mode & 0o077 == 0  # nobody else reads embeddings of people


def test_what_is_removed_is_out_of_the_file(path: Path) -> None:
    vector = unit(1, 512)[0]
    space = Space(512, "a" * 64, "")
    with open_gallery(str(path), create=True, storage="float32") as gallery:
        gallery.enrol(space, [person("alice", vector), person("bob", -vector)])
        gallery.enrol(space, [person("alice", vector)])
        assert gallery.remove("alice", entry=3) == 1
        assert gallery.remove("alice") == 1
        left = b"".join(p.read_bytes() for p in path.parent.iterdir())
        assert vector.tobytes()[:64] not in left
        assert (-vector).tobytes()[:64] in left
        assert [e.identity for e in gallery.entries()] == ["bob"]


def test_every_commit_is_synced_and_every_removal_overwritten(path: Path) -> None:
    """A loss of power cannot be tested here; that SQLite is asked for what survives it can."""
    for create in (True, False):
        connection = database.connect(path, create=create)
        asked = {
            pragma: connection.execute(f"PRAGMA {pragma}").fetchone()[0]
            for pragma in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
        connection.close()
        full = 2
        assert asked == {
            "journal_mode": "wal", "synchronous": full, "secure_delete": 1, "foreign_keys": 1
        }  # fmt: skip


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "word"),
    [
        (Space(DIM, "c" * 64, "b" * 64), "another model"),
        (Space(DIM + 1, "a" * 64, "b" * 64), "another length"),
        (Space(DIM, "a" * 64, "d" * 64), "another projection"),
        (Space(DIM, "a" * 64, ""), "not projected"),
    ],
)
def test_what_cannot_be_compared_is_refused(gallery: Gallery, space: Space, word: str) -> None:
    gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    vector = unit(1, space.dim)
    with pytest.raises(GalleryError, match=word):
        gallery.enrol(space, [person("bob", vector[0])])
    with pytest.raises(GalleryError, match=word):
        gallery.search(space, vector, [COMPLETE])
    assert [e.identity for e in gallery.entries()] == ["alice"]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (person("bob", unit(1)[0] * 2), "norm 2"),
        (person("bob", np.full(DIM, np.nan, np.float32)), "norm nan"),
        (person("bob", np.zeros(DIM, np.float32)), "norm 0"),
        (person("bob", unit(1, 5)[0]), "shape"),
        (person("  ", unit(1)[0]), "name"),
        (person("a\nb", unit(1)[0]), "name"),
        (Enrolment("bob", TIR, unit(1)[0], time=float("inf")), "time"),
        (Enrolment("bob", TIR, unit(1)[0], metadata={"x": object()}), "metadata"),
    ],
)
def test_one_bad_enrolment_is_all_of_them(gallery: Gallery, wrong: Enrolment, word: str) -> None:
    with pytest.raises(GalleryError, match=word):
        gallery.enrol(SPACE, [person("alice", unit(1)[0]), wrong])
    assert gallery.entries() == []


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("milvus://host/people", "no kind of gallery 'milvus', only file"),
        ("file://host/gallery.db", "names no file"),
        ("file:", "names no file"),
        ("", "names no file"),
        ("nowhere/gallery.db", "there is no such gallery"),
        ("/proc/gallery.db", "there is no such gallery"),
    ],
)
def test_a_setting_that_names_no_gallery(setting: str, word: str) -> None:
    with pytest.raises(GalleryError, match=word):
        open_gallery(setting)


def test_settings_that_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_gallery("a:b#c?.db" if os.name != "nt" else "a.db", create=True).close()
    open_gallery("file:g.db", create=True).close()
    for same in (
        f"file://{tmp_path}/g.db",
        f"FILE:{tmp_path}/g.db",
        "g.db",
        str(tmp_path / "g.db"),
    ):
        with open_gallery(same) as gallery:
            assert gallery.entries() == []


def test_files_that_are_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("hello " * 1000)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    (tmp_path / "empty.db").touch()
    newer = tmp_path / "newer.db"
    open_gallery(str(newer), create=True).close()
    with sqlite3.connect(newer) as raw:
        raw.execute("PRAGMA user_version = 2")
    raw.close()
    for name, word in (
        ("text.db", "not a gallery"),
        ("other.db", "another program's"),
        ("empty.db", "nobody is enrolled"),
        ("newer.db", "schema 2"),
        ("", "is a folder"),
    ):
        with pytest.raises(GalleryError, match=word):
            open_gallery(str(tmp_path / name))
    assert (tmp_path / "text.db").read_text().startswith("hello")
    open_gallery(str(tmp_path / "empty.db"), create=True).close()  # left by a crash: good to go


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE entries SET embedding = x'00' WHERE id = 1", "entry 1 is damaged"),
        ("UPDATE entries SET state = 'uv'", "entry 1 is damaged"),
        ("UPDATE gallery SET storage = 'bits'", "damaged"),
    ],
)
def test_a_damaged_entry_is_named(path: Path, change: str, word: str) -> None:
    with open_gallery(str(path), create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    with sqlite3.connect(path) as raw:
        raw.execute(change)
    raw.close()
    with pytest.raises(GalleryError, match=word), open_gallery(str(path)) as gallery:
        search(gallery, unit(1)[0])


def test_a_truncated_file_is_told(path: Path) -> None:
    with open_gallery(str(path), create=True) as gallery:
        gallery.enrol(SPACE, [person(f"p{i}", v) for i, v in enumerate(unit(2000))])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(GalleryError, match="damaged"), open_gallery(str(path)) as gallery:
        search(gallery, unit(1)[0])


def test_whom_it_does_not_have_it_cannot_remove(gallery: Gallery) -> None:
    gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    for name, entry in (("bob", None), ("alice", 7), ("bob", 1)):
        with pytest.raises(GalleryError, match=f"no identity '{name}'"):
            gallery.remove(name, entry)
    assert len(gallery.entries()) == 1


# --- several users -----------------------------------------------------------------------------


def test_a_reader_sees_what_another_writes(path: Path, gallery: Gallery) -> None:
    vector = unit(1)[0]
    with open_gallery(str(path)) as reader:
        assert search(reader, vector) == []
        gallery.enrol(SPACE, [person("alice", vector)])
        assert search(reader, vector)[0].identity == "alice"
        reader.enrol(SPACE, [person("bob", vector)])
        assert [m.identity for m in search(gallery, vector)] == ["alice", "bob"]
        gallery.remove("alice")
        assert [m.identity for m in search(reader, vector)] == ["bob"]


def test_a_writer_waits_for_another(
    path: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, lambda: holder.execute("COMMIT"))
    timer.start()
    assert gallery.enrol(SPACE, [person("alice", unit(1)[0])]) == [1]
    timer.join()
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    with open_gallery(str(path)) as hasty:
        assert search(hasty, unit(1)[0])[0].identity == "alice"  # reading does not wait
        with pytest.raises(GalleryError, match="another process is writing"):
            hasty.enrol(SPACE, [person("bob", unit(1)[0])])
    holder.close()
    assert [e.identity for e in gallery.entries()] == ["alice"]


def test_threads_take_turns(gallery: Gallery) -> None:
    vectors = unit(64)
    failures: list[BaseException] = []

    def work(rows: range) -> None:
        try:
            for i in rows:
                gallery.enrol(SPACE, [person(f"p{i}", vectors[i])])
                assert search(gallery, vectors[i], top=1)[0].identity == f"p{i}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(range(n, 64, 4),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(gallery.entries()) == 64


def script(text: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with this checkout's modules."""
    prelude = (
        "import os, sys, random, signal, time\nimport numpy as np\n"
        "from denet.graph import RGB_NIR_TIR\n"
        "STATES = RGB_NIR_TIR.states\n"
        "from runtime.gallery import Enrolment, GalleryError, Space, open_gallery\n"
        "SPACE = Space(8, 'a' * 64, 'b' * 64)\n"
        "def vector(n):\n"
        "    v = np.random.default_rng(n).standard_normal(8)\n"
        "    return (v / np.linalg.norm(v)).astype(np.float32)\n"
        "def person(n):\n"
        "    return Enrolment(f'p{n}', STATES[n % 7], vector(n))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + text, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
        **options,
    )


posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")

KILLED = """
path, rounds = sys.argv[1], int(sys.argv[2])
moments = random.Random(0)
told = 0
for round in range(rounds):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with open_gallery(path, create=True) as gallery:
            for n in range(round * 10000, round * 10000 + 10000, 3):
                gallery.enrol(SPACE, [person(n), person(n + 1), person(n + 2)])
                os.write(write, b'%d\\n' % n)
        os._exit(0)
    os.close(write)
    # In every fourth round while it opens; else when it has said so much, and a little later.
    with os.fdopen(read, 'rb') as pipe:
        said = [pipe.readline() for _ in range(round % 4)]
        time.sleep(moments.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said += pipe.readlines()
    try:
        with open_gallery(path, create=True) as gallery:
            kept = {e.identity: e.id for e in gallery.entries()}
            asked = [int(n) + more for n in said for more in range(3)]
            if asked:
                found = gallery.search(SPACE, np.stack([vector(n) for n in asked]),
                                       [STATES[n % 7] for n in asked], top=1)
                for n, matches in zip(asked, found, strict=True):
                    assert matches[0].identity == f'p{n}' and matches[0].cosine > 0.9999, n
            assert len(kept) % 3 == 0, 'an enrolment is there in part'
            told += len(asked)
    except GalleryError as error:
        sys.exit(f'round {round}: {error}')
print(told, len(kept))
"""


@posix
def test_what_was_acknowledged_survives_a_kill_at_any_moment(path: Path) -> None:
    done = script(KILLED, path, 48)
    assert done.returncode == 0, done.stderr
    told, kept = map(int, done.stdout.split())
    assert 180 <= told <= kept  # what was on its way may be there too, whole


TOGETHER = """
for gallery_number in range(40):
    path = f'{sys.argv[1]}{gallery_number}'
    children = []
    start = time.monotonic() + 0.02
    for worker in range(4):
        child = os.fork()
        if child == 0:
            try:
                while time.monotonic() < start:
                    pass
                with open_gallery(path, create=True) as gallery:
                    for n in range(3):
                        gallery.enrol(SPACE, [person(worker * 3 + n)])
                os._exit(0)
            except BaseException as error:
                os.write(2, f'{error}\\n'.encode())
                os._exit(1)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    with open_gallery(path) as gallery:
        print(codes, len(gallery.entries()))
"""


@posix
def test_processes_may_make_a_gallery_at_the_same_time(path: Path) -> None:
    """Forty galleries: that two processes meet in the moment that matters is a matter of luck."""
    done = script(TOGETHER, path)
    assert done.stdout.splitlines() == ["[0, 0, 0, 0] 12"] * 40, done.stdout + done.stderr


FULL = """
import resource
path = sys.argv[1]
kept = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    with open_gallery(path, create=True) as gallery:
        while True:
            gallery.enrol(SPACE, [person(kept + n) for n in range(50)])
            kept += 50
except GalleryError as error:
    print(kept, error)
"""


@posix
def test_a_full_disk_loses_nothing(path: Path) -> None:
    done = script(FULL, path)
    assert done.returncode == 0, done.stderr
    kept, _, message = done.stdout.strip().partition(" ")
    assert message.startswith(f"{path}: the disk")
    assert "\n" not in message
    with open_gallery(str(path)) as gallery:
        assert len(gallery.entries()) == int(kept) > 0
        vector = np.random.default_rng(49).standard_normal(8)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        assert search(gallery, vector)[0].identity == "p49"
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])


UNWRITABLE = """
import pathlib
folder = pathlib.Path(sys.argv[1])
with open_gallery(str(folder / 'old.db'), create=True) as gallery:
    gallery.enrol(SPACE, [person(1)])
(folder / 'old.db').chmod(0o644)
folder.chmod(0o555)
if os.getuid() == 0:
    os.setuid(65534)
for name in ('new.db', 'old.db'):
    try:
        with open_gallery(str(folder / name), create=True) as gallery:
            gallery.enrol(SPACE, [person(2)])
        print('written')
    except GalleryError as error:
        print(error)
"""


@posix
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lets nobody else in
        Path(folder).chmod(0o755)
        done = script(UNWRITABLE, folder)
        first, second = done.stdout.splitlines()
        assert first == f"{folder}/new.db: cannot be made: Permission denied"
        assert second.startswith(f"{folder}/old.db: it is read-only")
        assert [p.name for p in Path(folder).iterdir()] == ["old.db"]


# --- scores ------------------------------------------------------------------------------------


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
    out.write_bytes(msgspec.json.encode(scores.table))
    assert read_scores(out, SPACE).table == scores.table
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
    document = msgspec.to_builtins(table_of({(TIR, TIR): [0.0, 0.5]}).table)
    change(document)
    out = tmp_path / "scores.json"
    out.write_text(json.dumps(document))
    with pytest.raises(GalleryError, match=r"scores\.json"):
        read_scores(out, SPACE)
    out.write_text("{")
    with pytest.raises(GalleryError, match=r"scores\.json: not a file of scores"):
        read_scores(out, SPACE)
    with pytest.raises(GalleryError, match="cannot be read"):
        read_scores(tmp_path, SPACE)


# --- the command line --------------------------------------------------------------------------

SAMPLES = ROOT / "docs" / "samples"


@pytest.fixture(scope="module")
def embedded(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedded") / "e.npz"
    assert denet("embed", bundle_path, SAMPLES, "--every-state", "--out", out).exit_code == 0
    return out


def test_from_images_to_a_match(bundle_path: Path, path: Path) -> None:
    done = denet("gallery", "enrol", path, SAMPLES, "--bundle", bundle_path)
    assert done.exit_code == 0, done.output
    assert "enrolled 000001, 000002, 000003 and 3 more, new entries: 6" in done.output
    image = SAMPLES / "TI" / "000004_cam1_0_00.jpg"
    one = ("gallery", "enrol", path, "--bundle", bundle_path, "--tir", image, "--identity", "dora")
    assert json.loads(denet(*one, "--json").stdout)["enrolled"] == [
        {"entry": 7, "identity": "dora"}
    ]
    look = ("gallery", "search", path, "--bundle", bundle_path, "--tir", image, "--top", 2)
    match = json.loads(denet(*look, "--json").stdout)["queries"][0]["matches"][0]
    assert (match["identity"], match["entry"], match["state"]) == ("dora", 7, "tir")
    assert match["cosine"] == pytest.approx(1, abs=1e-4)
    assert "dora" in denet(*look).output
    assert "no match" in denet(*look, "--threshold", 1.1).output


def test_from_a_file_of_embeddings(embedded: Path, path: Path) -> None:
    assert denet("gallery", "enrol", path, "--embeddings", embedded).exit_code == 0
    listed = denet("gallery", "list", path)
    assert "000003" in listed.output
    assert "rgb+nir+tir (1), rgb+nir (1)" in listed.output
    facts = json.loads(denet("gallery", "list", path, "--identity", "000002", "--json").stdout)
    assert [e["state"] for e in facts["entries"]] == [s.name for s in STATES]
    assert facts["entries"][0]["source"] == f"{embedded}: 000002_cam1_0_00"
    done = denet("gallery", "remove", path, "000002", "--entry", facts["entries"][0]["entry"])
    assert "entries of 000002 removed: 1" in done.output
    assert denet("gallery", "remove", path, "000002").exit_code == 0
    refused(denet("gallery", "remove", path, "000002"), str(path), "no identity '000002'")
    assert "000002" not in denet("gallery", "list", path).output


def test_scores_from_data_to_a_search(
    bundle_path: Path, data: Path, embedded: Path, path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    done = denet("gallery", "calibrate", bundle_path, data, "--out", out)
    assert done.exit_code == 0, done.output
    assert "tells false-match rates down to" in done.output
    denet("gallery", "enrol", path, "--embeddings", embedded)
    command = ("gallery", "search", path, "--embeddings", embedded, "--scores", out, "--fmr", 0.1)
    facts = json.loads(denet(*command, "--json").stdout)
    for query in facts["queries"]:
        best = query["matches"][0]
        assert best["identity"] == query["query"].partition("_")[0]
        assert best["state"] == query["state"]
        assert all(0 < m["false_match_rate"] <= 0.1 for m in query["matches"])
    assert "< 0.0" in denet(*command).output  # of oneself: less than can be told
    refused(denet(*command[:-1], 1e-9), "scores.json", "cannot be told")
    refused(denet(*command[:-2], "--threshold", 0.5), "--fmr")
    table = json.loads(out.read_text())
    pairs = [pair for row in table["pairs"].values() for pair in row.values()]
    # 12 people by 3 cameras, 2 shots each: 72 samples.
    assert len(pairs) == 49
    assert {p["impostors"] for p in pairs} == {72 * 66, 72 * 66 // 2}
    assert {p["genuine"] for p in pairs} == {72 * 4, 72 * 4 // 2}


def test_scores_that_cannot_be_written(
    bundle_path: Path, data: Path, tmp_path: Path, runtime: Runtime
) -> None:
    for out, word in ((tmp_path / "x.txt", ".json"), (tmp_path / "no" / "x.json", "folder")):
        refused(denet("gallery", "calibrate", bundle_path, data, "--out", out), word)
    train = tmp_path / "train-only"
    train.mkdir()
    (train / "train").symlink_to(data / "train")
    refused(
        denet("gallery", "calibrate", bundle_path, train, "--out", tmp_path / "x.json"),
        "no test data",
    )
    with pytest.raises(CalibrationError, match="folder"):
        measure_scores(runtime, data, tmp_path / "no" / "x.json")
    assert list(tmp_path.iterdir()) == [train]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("enrol", "g.db"), "name images"),
        (("enrol", "g.db", SAMPLES), "--bundle"),
        (("enrol", "g.db", SAMPLES, "--embeddings", "{npz}"), "stands alone"),
        (("enrol", "g.db", "--embeddings", "absent.npz"), "absent.npz: cannot be read"),
        (("enrol", "g.db", "--embeddings", __file__), "not a file of embeddings"),
        (("enrol", "redis://g", "--embeddings", "{npz}"), "no kind of gallery 'redis'"),
        (("enrol", "g.db", "--embeddings", "{npz}", "--storage", "bits"), "float16"),
        (("enrol", "no/g.db", "--embeddings", "{npz}"), "folder does not exist"),
        (("search", "g.db", "--embeddings", "{npz}"), "no such gallery"),
        (("search", "g.db", "--embeddings", "{npz}", "--fmr", "0.1"), "needs --scores"),
        (("list", "g.db"), "no such gallery"),
        (("remove", "g.db", "alice"), "no such gallery"),
    ],
)
def test_bad_commands_are_one_line_and_leave_nothing(
    arguments: tuple[object, ...],
    word: str,
    embedded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [str(a).replace("{npz}", str(embedded)) for a in arguments]
    refused(denet("gallery", *filled), word)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"embeddings": np.ones((42, 4), np.float32)}, "norm 2"),
        ({"embeddings": np.float32(1)}, "not a file of embeddings"),
        ({"names": np.array(["a"])}, "1 names"),
        ({"states": np.array(["uv"] * 42)}, "uv"),
    ],
)
def test_damaged_embeddings_are_refused(
    embedded: Path, path: Path, tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    with np.load(embedded) as stored:
        arrays = dict(stored) | change
    np.savez(tmp_path / "bad.npz", **arrays)
    refused(denet("gallery", "enrol", path, "--embeddings", tmp_path / "bad.npz"), "bad.npz", word)
    assert not path.exists()


@posix
def test_a_command_on_a_full_disk_is_one_line(embedded: Path, path: Path) -> None:
    import resource

    assert denet("gallery", "enrol", path, "--embeddings", embedded).exit_code == 0
    before = path.stat().st_size
    done = subprocess.run(
        [sys.executable, "-m", "cli", "gallery", "enrol", path, "--embeddings", embedded],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (before // 2, before // 2)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {path}: the disk")
    assert done.stderr.count("\n") == 1
    assert len(json.loads(denet("gallery", "list", path, "--json").stdout)["entries"]) == 42
