"""Reports that a command writes: whether they can be, before the work, and then writing them."""

from __future__ import annotations

from pathlib import Path

from denet.errors import DenetError
from denet.files import written_whole


def check_output(path: Path, suffix: str, error: type[DenetError], *, replace: bool) -> None:
    """See that a report can be written to `path`, before the work for it is done.

    Args:
        path: of the report.
        suffix: that it has to have.
        error: to raise.
        replace: what is there.

    Raises:
        error: it cannot, or is there and `replace` is false.
    """
    if path.suffix != suffix:
        raise error(f"{path}: a report is written as {suffix}: choose such a name")
    if not path.absolute().parent.is_dir():
        raise error(f"{path}: is in a folder that does not exist")
    if path.is_dir():
        raise error(f"{path}: is a folder: choose another name")
    if path.exists() and not replace:
        raise error(f"{path}: exists already: choose another name, or replace it with --force")


def write_output(path: Path, content: bytes, error: type[DenetError]) -> None:
    """Write a report, whole or not at all.

    Raises:
        error: it cannot be written.
    """
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
    except OSError as reason:
        raise error(f"{path}: cannot be written: {reason.strerror or reason}") from None
