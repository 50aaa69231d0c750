"""What cannot be compared, opened or read is refused by name."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from runtime.gallery import Enrolment, Gallery, GalleryError, Space, open_gallery
from tests.runtime.gallery.people import COMPLETE, DIM, SPACE, TIR, person, search, unit


@pytest.fixture
def gallery(each_gallery: Gallery) -> Gallery:
    """Every kind, in place of a file alone."""
    return each_gallery


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
        raw.execute("PRAGMA user_version = 3")
    raw.close()
    for name, word in (
        ("text.db", "not a gallery"),
        ("other.db", "another program's"),
        ("empty.db", "nobody is enrolled"),
        ("newer.db", "schema 3"),
        ("", "is a folder"),
    ):
        with pytest.raises(GalleryError, match=word):
            open_gallery(str(tmp_path / name))
    assert (tmp_path / "text.db").read_text().startswith("hello")
    open_gallery(str(tmp_path / "empty.db"), create=True).close()  # left by a crash: good to go


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE entries SET embedding = x'00' WHERE id = 1", r"entry 1 \('alice'\) is damaged"),
        ("UPDATE entries SET state = 'uv'", "entry 1 .* is damaged"),
        ("UPDATE entries SET state = 'rgb'", "entry 1 .* is damaged"),
        ("UPDATE entries SET identity = 'mallory'", "entry 1 .* is damaged"),
        ("UPDATE entries SET id = 2", "entry 2 .* is damaged"),
        ("UPDATE entries SET time = 'soon'", "entry 1 .* is damaged"),
        ("UPDATE entries SET metadata = '{\"camera\": 4}'", "entry 1 .* is damaged"),
        ("DELETE FROM entries", "of 1 entries that it should have, 0 were found"),
        ("UPDATE gallery SET storage = 'bits'", "damaged"),
        ("UPDATE gallery SET count = 2", "damaged"),
        ("DELETE FROM gallery", "damaged"),
        ("CREATE INDEX i ON entries (identity)", "changed by another program"),
        ("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END", "changed by"),
        (
            "CREATE TABLE e AS SELECT * FROM entries; DROP TABLE entries; "
            "CREATE VIEW entries AS SELECT * FROM e",
            "changed by another program",
        ),
    ],
)
def test_a_damaged_entry_is_named(path: Path, change: str, word: str) -> None:
    with open_gallery(str(path), create=True) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    with sqlite3.connect(path) as raw:
        raw.executescript(change)
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
