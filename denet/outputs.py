"""What commands write: whether they may and can, before the work, and then writing it.

What denet did not make is neither changed nor removed: `--force` replaces only what the command
recognizes as its own (`denet.marks`).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from denet.errors import DenetError
from denet.files import sync_file, written_whole
from denet.marks import OutputKind
from denet.temporary import NEW, followed, settle, temporary

SIZE = 1 << 16
"""Bytes that find room anywhere, if anything does."""

MOUNTS = Path("/proc/self/mountinfo")

_OCTAL = re.compile(rb"\\([0-7]{3})")
"""How a space, a tab, an end of line and a backslash stand there."""

IN_THE_WAY = {errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR}
"""Why a rename onto a folder that holds something fails where nothing else speaks against it."""


@contextmanager
def writing(path: Path, error: type[DenetError], note: str = "") -> Iterator[None]:
    """Turn what the system says within into one line: `PATH: cannot be written: why`.

    Args:
        path: what is written, for the message.
        error: to raise.
        note: what else to say.

    Raises:
        error: the system refuses, or `path` cannot be a name.
    """
    try:
        yield
    except OSError as reason:
        raise error(f"{path}: cannot be written: {reason.strerror or reason}{note}") from None
    except ValueError as reason:
        if "\0" not in str(path):
            raise
        raise error(f"{str(path)!r}: cannot be written: {reason}") from None


def check_output(path: Path, kind: OutputKind, error: type[DenetError], *, replace: bool) -> None:
    """See that a file can be written to `path`, before the work for it is done.

    Args:
        path: of the file.
        kind: what it will be.
        error: to raise.
        replace: one of that kind that is there.

    Raises:
        error: it cannot; or something is there, and it is another thing, or `replace` is false.
    """
    if kind.suffix and path.suffix != kind.suffix:
        raise error(f"{path}: {kind.what} written as {kind.suffix}: choose such a name")
    with writing(path, error):
        check_parent(path, error)
        check_kept(path, kind, error, replace=replace)
    check_place(path, error)


def check_kept(path: Path, kind: OutputKind, error: type[DenetError], *, replace: bool) -> None:
    """See that no file is lost at `path`: nothing is there, or one of this kind to replace.

    Raises:
        error: something else is there, or `replace` is false.
        OSError: nobody may look.
    """
    settle(path)
    if path.is_dir():
        raise error(f"{path}: is a folder: choose another name")
    check_free(path, error, replace=replace)
    if path.exists() and not kind.made(path):
        raise error(
            f"{path}: is there and is not {kind.own}, so it is not replaced: choose another name, "
            "or remove it"
        )


def check_parent(path: Path, error: type[DenetError]) -> None:
    """See that the folder of `path` is there.

    Raises:
        error: it is not.
    """
    if not path.absolute().parent.is_dir():
        raise error(f"{path}: is in a folder that does not exist")


def check_free(path: Path, error: type[DenetError], *, replace: bool) -> None:
    """See that nothing is at `path`, or that it may be replaced.

    Raises:
        error: something is, and `replace` is false.
    """
    if path.exists() and not replace:
        raise error(f"{path}: exists already: choose another name, or replace it with --force")


def check_place(path: Path, error: type[DenetError], size: int = SIZE) -> None:
    """See that a file or folder can be written to `path`, by writing beside it, and that what is
    there could be replaced. Nothing changes.

    Args:
        path: what will be written.
        error: to raise.
        size: bytes that it takes at least.

    Raises:
        error: it cannot: the folder or what is there is read-only, not the user's, a mount point,
            or the disk has no room.
    """
    with writing(path, error):
        target = followed(path)
        free = shutil.disk_usage(target.parent).free
        if free < size:
            raise OSError(
                errno.ENOSPC,
                f"there is room for {free / 1e6:.0f} MB, and it takes {size / 1e6:.0f} MB: make "
                "room first",
            )
        if target in _mount_points():
            raise OSError(
                errno.EBUSY,
                "it is a mount point, which cannot be replaced: mount the folder above it, or "
                "choose another name",
            )
        with temporary(target) as folder:
            (folder / NEW).write_bytes(bytes(SIZE))
            sync_file(folder / NEW)
            _try_to_move(target, folder)


def check_room(path: Path, error: type[DenetError], size: int = SIZE) -> None:
    """As `check_place`, in a folder that will be made if need be, with those above it.

    Raises:
        error: as there; or a file stands where a folder has to be.
    """
    with writing(path, error):
        while not path.exists():
            path = path.absolute().parent
    if not path.is_dir():
        raise error(f"{path}: is a file: choose another name")
    check_place(path / "new", error, size)


def write_output(
    path: Path, content: bytes, kind: OutputKind, error: type[DenetError], *, replace: bool = True
) -> None:
    """Write a file, whole or not at all.

    Args:
        path: of the file.
        content: of it.
        kind: what it is.
        error: to raise.
        replace: one of that kind that is there.

    Raises:
        error: it cannot be written, or something came there meanwhile.
    """
    with writing(path, error):
        check_kept(path, kind, error, replace=replace)
        with written_whole(path, private=kind.private) as temporary:
            temporary.write_bytes(content)


def write_together(
    writers: Mapping[Path, tuple[OutputKind, Callable[[Path], object]]],
    error: type[DenetError],
    *,
    replace: bool,
) -> None:
    """Write several files, all or, if anything fails or it is interrupted, as good as none: each is
    whole beside its name before the first gets it.

    Args:
        writers: by path, what a file is, and what writes it to a temporary path; in this order. The
            last gets its name first.
        error: to raise.
        replace: replace files of the same kinds that are there.

    Raises:
        error: one cannot be written, or something else is in its place.
    """
    with ExitStack() as open_:
        for path, (kind, write) in writers.items():
            open_.enter_context(writing(path, error))
            check_kept(path, kind, error, replace=replace)
            write(open_.enter_context(written_whole(path, private=kind.private)))


def _try_to_move(path: Path, full: Path) -> None:
    """See that what is at `path` could be renamed, by a renaming that cannot succeed: onto a folder
    that holds something. All else that speaks against it is found first.

    Raises:
        OSError: it could not.
    """
    try:
        path.rename(full)
    except FileNotFoundError:
        return
    except OSError as reason:
        if reason.errno in IN_THE_WAY:
            return
        if reason.errno == errno.EXDEV:
            raise OSError(
                errno.EXDEV, "it is part of an image that is read-only: copy it, and name the copy"
            ) from None
        raise


def _mount_points() -> set[Path]:
    """Where file systems are mounted: `os.path.ismount` misses files, and folders of the same file
    system."""
    with suppress(OSError):
        lines = MOUNTS.read_bytes().splitlines()
        return {Path(os.fsdecode(_OCTAL.sub(_character, line.split()[4]))) for line in lines}
    return set()


def _character(octal: re.Match[bytes]) -> bytes:
    return bytes([int(octal[1], 8)])
