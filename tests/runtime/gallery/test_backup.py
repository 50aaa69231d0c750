"""`denet gallery backup` and `denet gallery check`."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runtime.gallery import Gallery, GalleryError, open_gallery
from runtime.gallery.opening import open_file
from tests.command import denet, refused
from tests.runtime.gallery.people import SPACE, person, posix, search, unit
from tests.runtime.gallery.test_replaced import enrol, killed_in_a_transaction, known


def test_a_backup_has_what_the_gallery_had(path: Path, gallery: Gallery, tmp_path: Path) -> None:
    out = tmp_path / "backup.db"
    for i, vector in enumerate(unit(300)):
        gallery.enrol(SPACE, [person(f"p{i}", vector)])
    gallery.remove("p7")
    before = gallery.entries()
    done = denet("gallery", "backup", path, out)
    assert done.exit_code == 0, done.output
    assert done.output == f"{path}: copied to {out}, entries: 299\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    gallery.enrol(SPACE, [person("late", unit(1)[0])])
    with open_gallery(str(out)) as copy:
        assert copy.entries() == before
        assert copy.enrol(SPACE, [person("another", unit(1)[0])]) == [301]
    assert {p.name for p in tmp_path.iterdir()} == {"gallery.db", "backup.db"}


def test_a_backup_is_put_back_under_a_running_gallery(path: Path, tmp_path: Path) -> None:
    enrol(path, "alice")
    with open_file(str(path)) as node:
        assert search(node, unit(1)[0])
        assert node.backup(tmp_path / "backup.db") == 1
        node.enrol(SPACE, [person("bob", unit(1)[0])])
        node.remove("alice")
        (tmp_path / "backup.db").replace(path)
        assert [e.identity for e in node.entries()] == ["alice"]
        assert {m.identity for m in search(node, unit(1)[0])} == {"alice"}


@posix
def test_a_journal_of_the_original_is_not_applied_to_its_backup(path: Path, tmp_path: Path) -> None:
    enrol(path, "alice")
    with open_file(str(path)) as gallery:
        gallery.backup(tmp_path / "backup.db")
    journal = killed_in_a_transaction(path)
    (tmp_path / "backup.db").replace(path)
    with pytest.raises(GalleryError, match="lies beside it"):
        open_gallery(str(path))
    journal.unlink()
    assert known(path) == {"alice"}


def test_what_is_no_place_for_a_backup(path: Path, tmp_path: Path) -> None:
    enrol(path, "alice")
    enrol(tmp_path / "other.db", "bob")
    (tmp_path / "text").write_text("keep me")
    command = ("gallery", "backup", path)
    refused(denet(*command, tmp_path / "other.db"), "exists already", "--force")
    refused(denet(*command, path), "exists already")
    refused(denet(*command, tmp_path / "text", "--force"), "is not a gallery")
    refused(denet(*command, tmp_path), "is a folder")
    refused(denet(*command, tmp_path / "no" / "x.db"), "does not exist")
    refused(denet("gallery", "backup", tmp_path / "no.db", tmp_path / "x.db"), "no such gallery")
    assert (tmp_path / "text").read_text() == "keep me"
    assert known(tmp_path / "other.db") == {"bob"}
    assert denet(*command, tmp_path / "other.db", "--force").exit_code == 0
    assert known(tmp_path / "other.db") == {"alice"}
    assert {p.name for p in tmp_path.iterdir()} == {"gallery.db", "other.db", "text"}


def test_damage_is_told_and_not_copied(path: Path, tmp_path: Path) -> None:
    enrol(path, "alice", "bob")
    done = denet("gallery", "check", path)
    assert (done.exit_code, done.output) == (0, f"{path}: whole, entries: 2\n")
    content = bytearray(path.read_bytes())
    content[content.index(b"alice") + 1] ^= 4
    path.write_bytes(content)
    for command in (("check", path), ("backup", path, tmp_path / "backup.db")):
        refused(denet("gallery", *command), f"{path}: entry 1 ('ahice') is damaged: restore")
    assert path.read_bytes() == content
    assert {p.name for p in tmp_path.iterdir()} == {"gallery.db"}
