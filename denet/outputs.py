"""Files that a command writes: whether they can be, before the work, and then writing them."""

from __future__ import annotations

from pathlib import Path

from denet.errors import DenetError
from denet.files import written_whole


def check_output(
    path: Path,
    suffix: str,
    error: type[DenetError],
    *,
    replace: bool,
    what: str = "a report is",
) -> None:
    """See that a file can be written to `path`, before the work for it is done.

    Args:
        path: of the file.
        suffix: that it has to have.
        error: to raise.
        replace: what is there.
        what: is written, with its verb, for the message.

    Raises:
        error: it cannot, or is there and `replace` is false.
    """
    if path.suffix != suffix:
        raise error(f"{path}: {what} written as {suffix}: choose such a name")
    check_parent(path, error)
    if path.is_dir():
        raise error(f"{path}: is a folder: choose another name")
    check_free(path, error, replace=replace)


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


def write_output(path: Path, content: bytes, error: type[DenetError]) -> None:
    """Write a file, whole or not at all.

    Raises:
        error: it cannot be written.
    """
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
    except OSError as reason:
        raise error(f"{path}: cannot be written: {reason.strerror or reason}") from None
