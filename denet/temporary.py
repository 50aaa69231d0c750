"""Where a file or a folder is written until it is whole, and what becomes of it after a kill.

It is a folder beside the name that it is for, `.NAME.xxxxxxxx.tmp`, which holds

    denet.lock    locked by the process that writes, for as long as it lives
    new           what is written
    old           what was at the name, while it is replaced where that takes two steps

A lock is no process's number, which another process has after a restart of the machine, and which
is 1 for all that run in containers of their own. Whoever comes to the same name next finds folders
that nobody locks: `settle` puts `old` back where nothing is at the name, and removes the rest.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what a kill left there stays
    fcntl = None  # type: ignore[assignment]

LOCK, NEW, OLD = "denet.lock", "new", "old"

SUFFIX = ".tmp"

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.tmp", re.DOTALL)
"""What `tempfile.mkdtemp` makes of the prefix and suffix here."""


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A folder beside `path`, for this process alone, to write what will be at `path`.

    At the end it is removed; if nothing is at `path` then, what it has as `old` goes back there.

    Args:
        path: no link; see `followed`.

    Raises:
        OSError: it cannot be made.
    """
    settle(path)
    folder, lock = _make(path)
    try:
        yield folder
    finally:
        try:
            with suppress(OSError):  # whoever comes next tries again
                _clear(folder, path)
        finally:
            os.close(lock)


def settle(path: Path) -> None:
    """Recover and remove what processes that are gone left for `path`. It costs a look into its
    folder, and never fails: what cannot be mended, or is not known, stays."""
    with suppress(OSError, ValueError):
        target = Path(os.path.realpath(path))
        for found in target.parent.iterdir():
            if is_temporary(found.name, target.name):
                with suppress(OSError):
                    _settle(found, target)


def settle_within(folder: Path) -> None:
    """As `settle`, for every file of a folder and of those in it."""
    with suppress(OSError):
        for found in list(folder.rglob(f".*{SUFFIX}")):
            if match := _TEMPORARY.fullmatch(found.name):
                settle(found.with_name(match["name"]))


def is_temporary(name: str, of: str | None = None) -> bool:
    """Whether a folder of that name is one of `temporary`: of any path, or of one named `of`."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and of in (None, match["name"])


def followed(path: Path) -> Path:
    """Where `path` leads, so that a link stays a link and what it names is replaced.

    Raises:
        OSError: links lead in a circle, or nowhere.
    """
    target = Path(os.path.realpath(path))
    if path.is_symlink() and not os.path.lexists(target):
        raise FileNotFoundError(errno.ENOENT, "it is a link that leads nowhere", str(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def _make(path: Path) -> tuple[Path, int]:
    """A new folder, and its lock, which is held. Again, if another process took it for a stray
    before it was locked."""
    import tempfile  # here, for it brings random numbers, which a process that only reads needs not

    while True:
        folder = Path(tempfile.mkdtemp(SUFFIX, f".{path.name}.", path.parent))
        with suppress(FileNotFoundError):
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            if _locked(lock, unknown=True) and _is_at(lock, folder / LOCK):
                return folder, lock
            os.close(lock)


def _settle(folder: Path, path: Path) -> None:
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        return
    entries = [entry.name for entry in folder.iterdir()]
    if not entries:
        folder.rmdir()
    elif LOCK in entries and all(map(_is_ours, entries)):
        lock = os.open(folder / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if _locked(lock, unknown=False) and _is_at(lock, folder / LOCK):
                _clear(folder, path)
        finally:
            os.close(lock)


def _is_ours(entry: str) -> bool:
    # What is being written may be a folder that is replaced in its turn.
    return entry in (LOCK, NEW, OLD) or is_temporary(entry, NEW)


def _locked(lock: int, *, unknown: bool) -> bool:
    """Lock it; False if another process has, and `unknown` where the file system has no locks."""
    if fcntl is None:
        return unknown
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unknown
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _clear(folder: Path, path: Path) -> None:
    """Remove a folder whose lock is held, the lock last."""
    if os.path.lexists(folder / OLD) and not os.path.lexists(path):
        (folder / OLD).rename(path)
    for entry in folder.iterdir():
        if entry.name != LOCK:
            _remove(entry)
    (folder / LOCK).unlink()
    with suppress(FileNotFoundError):  # empty, it is anybody's to remove
        folder.rmdir()


def _remove(path: Path) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()
