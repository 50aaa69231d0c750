"""A gallery that is open while a person copies, moves, restores or removes its file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.gallery import Gallery, GalleryError, open_gallery
from tests.runtime.gallery.people import COMPLETE, SPACE, person, posix, unit
from tests.runtime.gallery.test_processes import script

NAMES = ("alice", "bob", "carol", "dave")

VECTORS = dict(zip(NAMES, unit(4), strict=True))


def enrol(path: Path, *names: str) -> None:
    with open_gallery(str(path), create=True) as gallery:
        gallery.enrol(SPACE, [person(name, VECTORS[name]) for name in names])


def whom(gallery: Gallery) -> set[str]:
    """Whom it finds."""
    found = gallery.search(SPACE, np.stack(list(VECTORS.values())), [COMPLETE] * 4, top=1)
    return {
        name
        for name, matches in zip(NAMES, found, strict=True)
        if matches and matches[0].identity == name and matches[0].cosine > 0.99
    }


def known(path: Path) -> set[str]:
    with open_gallery(str(path)) as gallery:
        assert whom(gallery) == {entry.identity for entry in gallery.entries()}
        return whom(gallery)


def moved(new: Path, path: Path) -> None:
    new.replace(path)


def copied_over(new: Path, path: Path) -> None:
    path.write_bytes(new.read_bytes())


def copied_with_its_time(new: Path, path: Path) -> None:
    shutil.copy2(new, path)


def deleted_and_made(new: Path, path: Path) -> None:
    path.unlink()
    new.rename(path)


ways = pytest.mark.parametrize("way", [moved, copied_over, copied_with_its_time, deleted_and_made])


@ways
def test_the_file_at_the_path_is_the_gallery(
    path: Path, tmp_path: Path, way: Callable[[Path, Path], None]
) -> None:
    enrol(path, "alice")
    with open_gallery(str(path)) as node:
        assert whom(node) == {"alice"}
        enrol(path, "bob")
        assert whom(node) == {"alice", "bob"}
        new = tmp_path / "new.db"
        enrol(new, "carol")
        way(new, path)
        assert whom(node) == known(path) == {"carol"}
        enrol(path, "dave")
        assert whom(node) == {"carol", "dave"}
        node.remove("carol")
        assert known(path) == {"dave"}
    assert known(path) == {"dave"}
    assert {p.name for p in tmp_path.iterdir()} - {"new.db"} == {"gallery.db"}


@ways
def test_a_new_file_with_as_many_changes_is_noticed(
    path: Path, tmp_path: Path, way: Callable[[Path, Path], None]
) -> None:
    """SQLite takes a file with the same counters for the one that it has in memory."""
    new = tmp_path / "new.db"
    enrol(path, "alice")
    enrol(new, "bob")
    with open_gallery(str(path)) as node:
        assert whom(node) == {"alice"}
        way(new, path)
        assert whom(node) == {"bob"}
        assert [entry.identity for entry in node.entries()] == ["bob"]


@ways
def test_what_is_written_goes_to_the_file_at_the_path(
    path: Path, tmp_path: Path, way: Callable[[Path, Path], None]
) -> None:
    new = tmp_path / "new.db"
    enrol(path, "alice", "bob")
    enrol(new, "carol")
    with open_gallery(str(path)) as node:
        assert whom(node) == {"alice", "bob"}
        way(new, path)
        node.enrol(SPACE, [person("dave", VECTORS["dave"])])
        assert known(path) == {"carol", "dave"}
        with pytest.raises(GalleryError, match="no identity 'alice'"):
            node.remove("alice")


def test_a_copy_of_the_file_alone_has_everybody(path: Path, tmp_path: Path) -> None:
    enrol(path, "alice")
    with open_gallery(str(path)) as node:
        whom(node)
        enrol(path, "bob")
        node.enrol(SPACE, [person("carol", VECTORS["carol"])])
        shutil.copy(path, tmp_path / "copy.db")
    assert known(tmp_path / "copy.db") == {"alice", "bob", "carol"}


def test_an_older_copy_that_is_put_back_is_the_gallery(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with open_gallery(str(path), create=True) as node:
        node.enrol(SPACE, [person("alice", VECTORS["alice"])])
        shutil.copy(path, copy)
        node.enrol(SPACE, [person("bob", VECTORS["bob"])])
        assert whom(node) == {"alice", "bob"}
        copied_over(copy, path)
        assert whom(node) == {"alice"}
        node.enrol(SPACE, [person("carol", VECTORS["carol"])])
        node.enrol(SPACE, [person("dave", VECTORS["dave"])])
        assert whom(node) == {"alice", "carol", "dave"}
        copy.replace(path)
        assert whom(node) == {"alice"}


def test_a_gallery_that_is_gone_is_told_and_not_answered_for(path: Path) -> None:
    enrol(path, "alice")
    with open_gallery(str(path)) as node:
        assert whom(node) == {"alice"}
        path.unlink()
        for act in (whom, lambda g: g.entries(), lambda g: g.remove("alice")):
            with pytest.raises(GalleryError, match="is gone"):
                act(node)
        with pytest.raises(GalleryError, match="is gone"):
            node.enrol(SPACE, [person("bob", VECTORS["bob"])])
        assert not path.exists()
        enrol(path, "carol")
        assert whom(node) == {"carol"}


def test_another_thing_in_its_place_is_told_until_it_is_gone(path: Path) -> None:
    enrol(path, "alice")
    with open_gallery(str(path)) as node:
        good = path.read_bytes()
        for wrong, word in (
            (b"", "is empty"),
            (b"some text " * 99, "not a gallery"),
            (good[: len(good) // 2], "damaged|not a gallery"),
        ):
            path.write_bytes(wrong)
            for _ in range(2):
                with pytest.raises(GalleryError, match=word):
                    whom(node)
            assert path.read_bytes() == wrong
        path.unlink()
        path.mkdir()
        with pytest.raises(GalleryError, match="regular file"):
            whom(node)
        path.rmdir()
        path.write_bytes(good)
        assert whom(node) == {"alice"}


def test_a_file_that_is_replaced_while_it_is_written_to_is_told(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.gallery import database

    new = tmp_path / "new.db"
    enrol(path, "alice")
    enrol(new, "carol")
    write = database.write_holding

    with open_gallery(str(path)) as node:

        def written(*arguments: object) -> None:
            write(*arguments)  # type: ignore[arg-type]
            if new.exists():
                new.replace(path)

        monkeypatch.setattr(database, "write_holding", written)
        with pytest.raises(GalleryError, match="was replaced while it was written to"):
            node.enrol(SPACE, [person("bob", VECTORS["bob"])])
        assert whom(node) == known(path) == {"carol"}


CRASH = """
import sqlite3
from runtime.gallery import database
path = sys.argv[1]
write = database.write_holding

def die(connection, holding):
    write(connection, holding)
    # What does not fit into memory is in the file before the transaction ends.
    connection.execute('PRAGMA cache_size = 1')
    connection.execute('PRAGMA cache_spill = 1')
    connection.execute("UPDATE entries SET source = source || '.'")
    os.kill(os.getpid(), signal.SIGKILL)

with open_gallery(path) as gallery:
    database.write_holding = die
    gallery.enrol(SPACE, [person(n) for n in range(200)])
"""


def killed_in_a_transaction(path: Path) -> Path:
    """A journal that the next one who opens the file applies."""
    done = script(CRASH, path)
    assert done.returncode < 0, done.stderr
    journal = path.with_name(path.name + "-journal")
    assert journal.stat().st_size > 1000
    return journal


@posix
def test_a_killed_writer_leaves_nothing_of_its_transaction(path: Path) -> None:
    enrol(path, "alice")
    before = path.read_bytes()
    journal = killed_in_a_transaction(path)
    assert path.read_bytes() != before  # it was written to the file already
    assert known(path) == {"alice"}
    assert not journal.exists()


@posix
@pytest.mark.parametrize("kept", [None, 28, 512, 600])
@ways
def test_the_journal_of_another_file_is_not_applied(
    path: Path, tmp_path: Path, way: Callable[[Path, Path], None], kept: int | None
) -> None:
    new = tmp_path / "new.db"
    enrol(path, "alice")
    enrol(new, "bob")
    enrol(new, *("carol", "dave") * 90)
    journal = killed_in_a_transaction(path)
    if kept is not None:
        os.truncate(journal, kept)
    content, left = new.read_bytes(), journal.read_bytes()
    way(new, path)
    for _ in range(2):
        with pytest.raises(GalleryError, match=r"gallery\.db-journal lies beside it.*move it away"):
            known(path)
    assert (path.read_bytes(), journal.read_bytes()) == (content, left)
    journal.rename(tmp_path / "away")
    assert known(path) == {"bob", "carol", "dave"}


@posix
def test_an_open_gallery_does_not_apply_the_journal_of_another_file(
    path: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    enrol(path, "alice")
    enrol(new, "bob")
    with open_gallery(str(path)) as node:
        assert whom(node) == {"alice"}
        killed_in_a_transaction(path)
        content = new.read_bytes()
        copied_over(new, path)
        with pytest.raises(GalleryError, match=r"gallery\.db-journal lies beside it"):
            whom(node)
        assert path.read_bytes() == content


def test_the_log_of_an_earlier_file_is_not_applied(path: Path, tmp_path: Path) -> None:
    """As one is left that an earlier denet had, which kept a log."""
    enrol(path, "alice")
    other = tmp_path / "other.db"
    shutil.copy(path, other)
    raw = sqlite3.connect(other, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("UPDATE entries SET identity = 'mallory'")
    log = path.with_name("gallery.db-wal")
    shutil.copy(tmp_path / "other.db-wal", log)
    raw.close()
    with pytest.raises(GalleryError, match=r"gallery\.db-wal lies beside it.*move it away"):
        open_gallery(str(path))
    log.unlink()
    assert known(path) == {"alice"}


def test_a_gallery_that_cannot_be_written_can_be_searched(path: Path) -> None:
    enrol(path, "alice")
    path.chmod(0o400)
    assert known(path) == {"alice"}


def test_a_new_gallery_is_private_and_leaves_nothing_beside_it(path: Path) -> None:
    open_gallery(str(path), create=True).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["gallery.db"]
