"""Galleries that a denet of before made: taken over whole, or left as they are."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from runtime.gallery import GalleryError, open_gallery
from runtime.gallery.storage import STORAGES, Storage, encode
from tests.runtime.gallery.people import COMPLETE, SPACE, STATES, person, search, unit

TABLES = """
CREATE TABLE gallery (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    storage TEXT NOT NULL,
    dim INTEGER NOT NULL,
    checkpoint TEXT NOT NULL,
    projection TEXT NOT NULL,
    removals INTEGER NOT NULL
);
CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identities,
    state TEXT NOT NULL,
    embedding BLOB NOT NULL,
    time REAL NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL
);
CREATE INDEX entries_of_identity ON entries (identity);
PRAGMA application_id = 0x444E4742;
PRAGMA user_version = 1;
"""

COUNT = 2500


def make(path: Path, storage: Storage = "float16", count: int = COUNT) -> sqlite3.Connection:
    """With a log, as long as the connection is open. The last entry was removed."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(TABLES)
    connection.execute(
        "INSERT INTO gallery VALUES (1, ?, ?, ?, ?, 1)",
        (storage, SPACE.dim, SPACE.checkpoint, SPACE.projection),
    )
    for i, blob in enumerate(encode(unit(count), storage)):
        connection.execute("INSERT OR IGNORE INTO identities (name) VALUES (?)", (f"p{i // 2}",))
        connection.execute(
            "INSERT INTO entries (identity, state, embedding, time, source, metadata) "
            "VALUES ((SELECT id FROM identities WHERE name = ?), ?, ?, ?, ?, ?)",
            (f"p{i // 2}", STATES[i % 7].name, blob, 1.5 + i, f"gate {i}", '{"camera": 3}'),
        )
    connection.execute("DELETE FROM entries WHERE id = ?", (count,))
    connection.commit()
    return connection


@pytest.mark.parametrize("storage", STORAGES)
def test_all_that_an_earlier_gallery_has_is_taken_over(path: Path, storage: Storage) -> None:
    make(path, storage).close()
    size = path.stat().st_size
    for _ in range(2):
        with open_gallery(str(path)) as gallery:
            entries = gallery.entries()
            found = [search(gallery, v, state=STATES[i % 7], top=1)[0]
                     for i, v in enumerate(unit(COUNT)[:20])]  # fmt: skip
        assert [e.id for e in entries] == list(range(1, COUNT))
        for i, entry in enumerate(entries):
            assert (entry.identity, entry.state) == (f"p{i // 2}", STATES[i % 7])
            assert (entry.time, entry.source) == (1.5 + i, f"gate {i}")
            assert (entry.metadata, entry.space) == ({"camera": 3}, SPACE)
        for i, match in enumerate(found):
            assert (match.identity, match.entry) == (f"p{i // 2}", i + 1)
            assert match.cosine == pytest.approx(1, abs=1e-4)
    with open_gallery(str(path)) as gallery:
        assert gallery.enrol(SPACE, [person("new", unit(1)[0])]) == [COUNT + 1]
    assert [p.name for p in path.parent.iterdir()] == ["gallery.db"]
    assert path.stat().st_size < 1.7 * size + 50_000


def test_what_is_in_its_log_is_taken_over(path: Path, tmp_path: Path) -> None:
    """As after a kill: the file and its log are there, and nobody has it open."""
    old = tmp_path / "old.db"
    connection = make(old, count=50)
    for end in ("", "-wal"):
        shutil.copy(f"{old}{end}", f"{path}{end}")
    connection.close()
    with open_gallery(str(path)) as gallery:
        assert len(gallery.entries()) == 49


def test_two_spellings_of_one_name_become_one(path: Path) -> None:
    connection = make(path, count=5)
    connection.execute("DELETE FROM entries WHERE id = 4")
    for name in (("Jos\u00e9", "p0"), ("Jose\u0301", "p1")):
        connection.execute("UPDATE identities SET name = ? WHERE name = ?", name)
    connection.commit()
    connection.close()
    with open_gallery(str(path)) as gallery:
        assert [e.identity for e in gallery.entries()] == ["Jos\u00e9"] * 3


def test_nobody_in_it(path: Path) -> None:
    connection = make(path, count=1)
    connection.execute("DELETE FROM gallery")
    connection.commit()
    connection.close()
    with open_gallery(str(path)) as gallery:
        assert gallery.entries() == []
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
        assert search(gallery, unit(1)[0])[0].identity == "alice"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE entries SET embedding = x'007e' WHERE id = 2", "entry 2 .* is damaged"),
        (f"UPDATE entries SET embedding = x'{'007e' * 8}' WHERE id = 3", "entry 3 .* is damaged"),
        ("UPDATE entries SET state = 'uv' WHERE id = 2", "entry 2 .* is damaged"),
        ("UPDATE entries SET metadata = '{' WHERE id = 2", "entry 2 is damaged"),
        ("UPDATE entries SET metadata = '[]' WHERE id = 2", "entry 2 is damaged"),
        ("UPDATE entries SET time = 9e999 WHERE id = 2", "entry 2 is damaged"),
        ("UPDATE entries SET identity = 77 WHERE id = 2", "entry 2 is damaged"),
        ("UPDATE gallery SET storage = 'bits'", "'bits'"),
        ("UPDATE gallery SET dim = -1", "damaged"),
        ("CREATE VIEW v AS SELECT * FROM entries", "changed by another program"),
    ],
)
def test_a_damaged_one_is_refused_and_stays(path: Path, change: str, word: str) -> None:
    connection = make(path, count=9)
    connection.execute(change)
    connection.commit()
    connection.close()

    def content() -> list[str]:
        with closing(sqlite3.connect(path)) as raw:
            return list(raw.iterdump())

    before = content()
    with pytest.raises(GalleryError, match=word):
        open_gallery(str(path))
    assert content() == before


def test_one_that_is_only_looked_at_stays(path: Path) -> None:
    make(path, count=9).close()
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="an earlier denet made it"):
        open_gallery(str(path), read_only=True)
    assert path.read_bytes() == before


def test_one_that_an_earlier_denet_has_open_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.gallery import database

    monkeypatch.setattr(database, "PATIENCE", 0.05)
    connection = make(path, count=9)
    connection.execute("SELECT count(*) FROM entries").fetchall()
    with pytest.raises(GalleryError, match="an earlier denet has it open: stop that"):
        open_gallery(str(path))
    connection.close()
    with open_gallery(str(path)) as gallery:
        assert len(gallery.entries()) == 8


def test_flipped_bits_of_an_earlier_gallery_never_make_a_match_of_nothing(path: Path) -> None:
    """It has no checksums: what has a meaning is taken. A cosine is one all the same."""
    make(path, "float32", count=6).close()
    good, chance = path.read_bytes(), np.random.default_rng(0)
    used = np.flatnonzero(np.frombuffer(good, np.uint8))
    for place, bit in zip(chance.choice(used, 400), chance.integers(0, 8, 400), strict=True):
        content = bytearray(good)
        content[place] ^= 1 << int(bit)
        path.write_bytes(content)
        try:
            with open_gallery(str(path)) as gallery:
                for match in gallery.search(SPACE, unit(1, seed=1), [COMPLETE])[0]:
                    assert -1 <= match.cosine <= 1
        except GalleryError:
            pass
