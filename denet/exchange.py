"""Putting a file or a folder in the place of another, so that there is always one of them.

Linux exchanges two names in one step (`renameat2`). Where the system or the file system cannot, it
takes two renames, between which nothing is at the name: what is left then, `denet.temporary`
recovers at the next start.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2

UNABLE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What is raised where a system or a file system does not know such an exchange."""


def put_in_place(new: Path, path: Path, old: Path) -> None:
    """Give `new` the name `path`; what has that name gets the name `new` or `old`.

    Args:
        new: a file or a folder, on the file system of `path`.
        path: where it belongs; there may be nothing yet.
        old: a free name beside `new`.

    Raises:
        OSError: it cannot be done; one of them is at `path`, or at `old` with nothing at `path`.
    """
    if not os.path.lexists(path):
        new.rename(path)
    elif not exchanged(new, path):
        path.rename(old)
        new.rename(path)


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system has no such thing.

    Raises:
        OSError: they cannot be exchanged.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, TypeError, AttributeError):  # not Linux, or its C library is old
        return False
    ends = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other))
    if rename(*ends, ctypes.c_uint(RENAME_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(other))
