"""Kills at any moment leave the old or the new, whole, and nothing else after the next start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from denet.files import replaced_folder, written_whole
from denet.temporary import LOCK, NEW, OLD, followed, is_temporary, settle, settle_within
from tests.denet.kills import WORK
from tests.paths import ROOT


def killed_everywhere(what: str, base: Path) -> list[Path]:
    """What is left by a process that was killed before each of its steps, the last not killed."""
    command = [sys.executable, "-m", "tests.denet.kills", what, str(base)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    count = int(done.stdout)
    assert count > 10
    return [base / str(step) for step in range(count + 1)]


def state(path: Path) -> str:
    """What all parts of it say; "absent" where there is nothing."""
    if not path.exists():
        return "absent"
    if path.is_file():
        return path.read_text()
    found = {part.name: part.read_text() for part in path.iterdir()}
    assert found.keys() == {"a", "b"}
    assert len(set(found.values())) == 1, found
    return found["a"]


@pytest.mark.parametrize("what", WORK)
def test_a_kill_leaves_the_old_or_the_new(what: str, tmp_path: Path) -> None:
    name = {"replace_file": "file", "make_folder": "another"}.get(what, "bundle")
    before = "absent" if what == "make_folder" else "old"
    left = killed_everywhere(what, tmp_path)
    seen, gone = set(), 0
    for folder in left:
        gone += not (folder / name).exists()
        settle(folder / ("link" if what == "replace_link" else name))
        seen.add(state(folder / name))
        there = {path.name for path in folder.iterdir()}
        assert there - {"another"} == {"bundle", "file", "link"}, "a stray is left"
        assert (folder / "link").is_symlink()
    assert seen == {before, "new"}
    assert state(left[-1] / name) == "new"
    if what == "replace_in_two_steps":
        assert gone, "no kill came between the two renames"
    elif what != "make_folder":
        assert not gone, "there was a moment without a bundle"


def stray(path: Path, **content: str) -> Path:
    folder = Path(tempfile.mkdtemp(".tmp", f".{path.name}.", path.parent))
    (folder / LOCK).touch()
    for name, text in content.items():
        (folder / name).write_text(text)
    return folder


def test_what_was_moved_aside_comes_back_only_where_nothing_is(tmp_path: Path) -> None:
    path = tmp_path / "model"
    stray(path, old="old", new="new")
    settle(path)
    assert path.read_text() == "old"
    stray(path, old="older", new="new")
    settle(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with written_whole(path) as temporary:
        temporary.write_text("first")
        with written_whole(path) as other:
            other.write_text("second")
        assert temporary.read_text() == "first"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("foreign", ["notes.txt", "older", "denet.lock.txt"])
def test_what_only_looks_like_a_stray_is_left_alone(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "model"
    kept = [stray(path, **{foreign: "precious"}), tmp_path / ".model.4711.tmp"]
    kept[1].write_text("precious")
    file = tmp_path / ".model.abcdefgh.tmp"
    file.write_text("precious")
    unmarked = tmp_path / ".model.bcdefghi.tmp"
    unmarked.mkdir()
    (unmarked / NEW).write_text("precious")
    link = tmp_path / ".model.cdefghij.tmp"
    link.symlink_to(unmarked)
    before = sorted(tmp_path.rglob("*"))
    settle(path)
    with written_whole(path) as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_strays_of_one_name_are_not_those_of_another(tmp_path: Path) -> None:
    other = stray(tmp_path / "model.denet", new="x")
    settle(tmp_path / "model")
    assert other.is_dir()
    settle(tmp_path / "model.denet")
    assert not other.exists()


def test_strays_in_folders_below_go_too(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in (tmp_path / "one", tmp_path / "a" / "two", tmp_path / "a" / "b" / "three"):
        stray(path, new="x")
    settle_within(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["a", "a/b"]


def test_a_folder_that_is_replaced_in_a_folder_that_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with replaced_folder(path) as outer, replaced_folder(outer) as inner:
        (inner / "file").write_text("x")
        [name] = [p.name for p in outer.parent.iterdir() if is_temporary(p.name)]
    assert (path / "file").read_text() == "x"
    left = stray(path)
    (left / name).mkdir()
    (left / name / NEW).mkdir()
    settle(path)
    assert list(tmp_path.iterdir()) == [path]


def test_settling_never_fails(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "where", Path("/proc/1/x"), Path("a\0b"), Path("x" * 300)):
        settle(path)


def test_links_are_followed_to_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "chain").symlink_to("link")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "circle").symlink_to("circle")
    assert followed(tmp_path / "chain") == tmp_path / "there"
    assert followed(tmp_path / "missing") == tmp_path / "missing"
    for name in ("nowhere", "circle"):
        with pytest.raises(OSError, match=name):
            followed(tmp_path / name)


def test_without_locks_nothing_of_others_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("denet.temporary.fcntl.flock", unknown)
    path = tmp_path / "model"
    left = stray(path, **{OLD: "x"})
    with written_whole(path) as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == sorted([path, left])
