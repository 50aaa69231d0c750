"""Files and folders that are there whole or not at all, and what is in them.

One rule for who may read what is written: what holds people (galleries, events, embeddings, scores)
is for its owner alone, whatever the umask; all else, such as models, bundles and reports, follows
the umask.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from denet.exchange import put_in_place
from denet.reading import open_regular
from denet.temporary import NEW, OLD, followed, temporary

PRIVATE, PUBLIC = 0o600, 0o666
"""Modes that files are made with; the umask takes from the second."""

LOST = {errno.EIO, errno.ENOSPC, errno.EDQUOT}
"""Why a folder was not synced: content is lost. Any other reason is a file system that cannot."""


@contextmanager
def written_whole(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary path to write a file to; it gets the name `path` when that succeeds.

    Whatever fails, `path` stays as it was and nothing is left behind; what a kill leaves goes at
    the next start. A link stays a link: what it names is replaced.

    Args:
        path: of the file.
        private: only its owner may read it.

    Raises:
        OSError: it cannot be written.
    """
    target = followed(path)
    with temporary(target) as folder:
        new = folder / NEW
        mode = _make(new, PRIVATE if private else PUBLIC)
        yield new
        # Some libraries write to a file of their own, with modes of their own.
        new.chmod(mode)
        sync_file(new)
        new.replace(target)
        sync_folder(target.parent)


@contextmanager
def replaced_folder(path: Path, allowed: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """A temporary folder to fill; it takes the place of `path` when that succeeds.

    Whatever fails, and at whatever moment the process is killed, one of the two is at `path`, as a
    whole, at the latest after the next start. A link stays a link: what it names is replaced. The
    files that are put in are synced by whoever writes them.

    Args:
        path: of the folder; there may be none yet.
        allowed: raises what speaks against replacing what is at `path`, now that it would happen.

    Raises:
        OSError: it cannot be written.
    """
    target = followed(path)
    with temporary(target) as folder:
        new = folder / NEW
        new.mkdir()
        yield new
        for each, _, _ in os.walk(new):
            sync_folder(Path(each))
        allowed()
        put_in_place(new, target, folder / OLD)
        sync_folder(target.parent)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk.

    Raises:
        OSError: it does not get there.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the file system can do that.

    Raises:
        OSError: they do not get there.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in LOST:
            raise


def file_digest(path: Path) -> str:
    """The sha256 of a regular file, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is another thing.
    """
    # Through a small buffer: fresh memory for all of it would cost as much as the hash.
    digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 18))
    with open_regular(path) as stream:  # hashlib.file_digest came with Python 3.11
        while count := stream.readinto(buffer):  # type: ignore[attr-defined]
            digest.update(buffer[:count])
    return digest.hexdigest()


def _make(path: Path, mode: int) -> int:
    """Make an empty file; the mode that it has, after the umask and what its folder hands down."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
