"""Files and folders that are there whole or not at all, and what is in them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from denet.files import file_digest, replaced_folder, written_whole


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 19) + 7])
def test_the_digest_is_that_of_the_whole_content(tmp_path: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.fixture(params=[0o022, 0o077, 0o002, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("there", [False, True])
def test_modes_follow_the_umask_unless_a_file_holds_people(
    tmp_path: Path, umask: int, there: bool
) -> None:
    public, private, folder = (tmp_path / name for name in ("public", "private", "folder"))
    if there:
        for path in (public, private):
            path.touch()
            path.chmod(0o644)
        folder.mkdir(0o700)
    with written_whole(public) as temporary:
        # As a library that writes to a file of its own and renames that.
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT, 0o600))
    with written_whole(private, private=True) as temporary:
        assert mode(temporary) == 0o600 & ~umask
        temporary.write_text("somebody")
        temporary.chmod(0o644)
    with replaced_folder(folder) as new:
        (new / "file").touch()
    assert mode(public) == 0o666 & ~umask
    assert mode(private) == 0o600 & ~umask
    assert mode(folder) == 0o777 & ~umask
    assert mode(folder / "file") == 0o666 & ~umask


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model").write_text("old")
    (elsewhere / "bundle").mkdir()
    (tmp_path / "model").symlink_to("elsewhere/model")
    (tmp_path / "bundle").symlink_to("elsewhere/bundle")
    with written_whole(tmp_path / "model") as temporary:
        temporary.write_text("new")
    with replaced_folder(tmp_path / "bundle") as new:
        (new / "file").write_text("new")
    assert (elsewhere / "model").read_text() == (elsewhere / "bundle" / "file").read_text() == "new"
    assert {p.name for p in tmp_path.iterdir() if p.is_symlink()} == {"model", "bundle"}
    assert {p.name for p in elsewhere.iterdir()} == {"model", "bundle"}


def test_a_link_that_leads_nowhere_stays_so(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="leads nowhere"), written_whole(tmp_path / "link"):
        pass
    with (
        pytest.raises(FileNotFoundError, match="leads nowhere"),
        replaced_folder(tmp_path / "link"),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["link"]


def test_what_speaks_against_replacing_is_asked_at_the_last_moment(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"

    def nothing_there() -> None:
        if folder.exists():
            raise ValueError("somebody was faster")

    def write() -> None:
        with replaced_folder(folder, nothing_there) as new:
            (new / "file").touch()
            folder.mkdir()
            (folder / "precious").touch()

    with pytest.raises(ValueError, match="faster"):
        write()
    assert [p.name for p in folder.iterdir()] == ["precious"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_file_system_that_cannot_sync_a_folder_costs_nothing(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders_fail_to_sync(monkeypatch, number)
    with written_whole(tmp_path / "model") as temporary:
        temporary.write_text("new")
    with replaced_folder(tmp_path / "bundle") as new:
        (new / "file").write_text("new")
    assert (tmp_path / "model").read_text() == (tmp_path / "bundle" / "file").read_text() == "new"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_loses_what_is_synced_is_an_error(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders_fail_to_sync(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)), replaced_folder(tmp_path / "bundle"):
        pass
    assert not list(tmp_path.iterdir())


def folders_fail_to_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    sync = os.fsync

    def failing(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        sync(file)

    monkeypatch.setattr(os, "fsync", failing)
