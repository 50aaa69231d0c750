"""One descriptor for each file that is open, shared by all that have it open.

POSIX drops all locks that a process has on a file as soon as it closes any descriptor of that file,
and SQLite's locks are such. So a file that SQLite has open is opened beside it once, and closed
when nobody in the process has it open any more.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path

_LOCK = threading.Lock()

_HELD: dict[tuple[int, int], Descriptor] = {}


@dataclass
class Descriptor:
    """An open file, to read from.

    Attributes:
        file: its device and inode.
        numbers: what the system calls it; more than one where it was opened twice at a time.
        users: how many hold it.
    """

    file: tuple[int, int]
    numbers: list[int] = field(default_factory=list)
    users: int = 0

    def head(self, size: int) -> bytes:
        """The first `size` bytes, or fewer where there are no more."""
        return os.pread(self.numbers[0], size, 0)

    def size(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self.numbers[0]).st_size


def hold(path: Path) -> Descriptor:
    """The file at `path`, open.

    Raises:
        OSError: it cannot be opened, or is no regular file.
        ValueError: `path` cannot be the name of a file.
    """
    with _LOCK:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(None, "it is not a regular file", str(path))
        held = _HELD.get((found.st_dev, found.st_ino))
        if held is None:
            number = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            opened = os.fstat(number)  # another, if it was replaced just now
            key = (opened.st_dev, opened.st_ino)
            held = _HELD.setdefault(key, Descriptor(key))
            held.numbers.append(number)
        held.users += 1
        return held


def let_go(held: Descriptor) -> None:
    """Done with what `hold` gave, after SQLite's connection to it is closed."""
    with _LOCK:
        held.users -= 1
        if not held.users:
            del _HELD[held.file]
            for number in held.numbers:
                os.close(number)
