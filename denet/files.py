"""Files that are there whole or not at all, and what is in them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it gets the name `path` when that succeeds.

    Whatever fails, `path` stays as it was and nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it takes the place of `path` when that succeeds.

    Whatever fails, a folder that was at `path` stays as it was, and nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def file_digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 18))
    with path.open("rb", buffering=0) as stream:  # hashlib.file_digest came with Python 3.11
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
