"""Reading what somebody else may have written: no file is trusted, whatever its name says.

A parser fails in more ways than its documentation lists (zip, zlib, tokens, recursion, memory), so
what it raises is caught here as a whole, close around the parser, and becomes one error that
names the file. Only regular files are read: a pipe or a device would hang or never end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

from denet.errors import DenetError
from denet.validation import in_plain_words

TEXT_LIMIT = 64 << 20
"""Bytes that a file of settings, a manifest or a table may have; none of ours comes near."""

WIDEST = 1 << 63
"""From here on a whole number is too large."""

DEEPEST = 32
"""Levels of tables and lists in a file of settings."""

Decoded = TypeVar("Decoded")


@contextmanager
def reading(path: Path | str, error: type[DenetError], what: str = "damaged") -> Iterator[None]:
    """Turn whatever fails within into one line: `PATH: WHAT: why`. Keep little within.

    Args:
        path: what is read, for the message.
        error: to raise.
        what: is the matter where the content is at fault, in a few words.

    Raises:
        error: something within failed. A DenetError from within passes as it is.
    """
    try:
        yield
    except DenetError:
        raise
    except MemoryError:
        raise error(f"{path}: {what}: it takes more memory than there is") from None
    except RecursionError:
        raise error(f"{path}: {what}: it is nested too deep") from None
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror or reason}") from None
    except Exception as reason:
        why = in_plain_words(str(reason)) or type(reason).__name__
        raise error(f"{path}: {what}: {why}") from None


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes; links to one are followed.

    Raises:
        OSError: it cannot be opened, or is another thing: a folder, a pipe, a device, a socket.
        ValueError: `path` cannot be the name of a file (NUL).
    """
    # Without O_NONBLOCK the opening of a pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path, error: type[DenetError], limit: int = TEXT_LIMIT) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        error: it cannot be read, is no regular file, or has more.
    """
    with reading(path, error), open_regular(path) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise error(f"{path}: has more than {limit} bytes: it is not what it is taken for")
    return content


def read_text(path: Path, error: type[DenetError], limit: int = TEXT_LIMIT) -> str:
    """The text of a file in UTF-8, with or without a mark of byte order. Raises: as `read_file`."""
    content = read_file(path, error, limit)
    with reading(path, error, "not text in UTF-8"):
        return content.decode("utf-8-sig")


@overload
def read_json(path: Path, error: type[DenetError], limit: int = ...) -> Any: ...
@overload
def read_json(
    path: Path, error: type[DenetError], limit: int = ..., *, kind: type[Decoded]
) -> Decoded: ...
def read_json(
    path: Path, error: type[DenetError], limit: int = TEXT_LIMIT, *, kind: Any = Any
) -> Any:
    """A file of JSON as `kind` says. Raises: as `read_file`, and if it is not that."""
    import msgspec

    content = read_file(path, error, limit)
    with reading(path, error):
        document = msgspec.json.decode(content, type=kind)
    if kind is Any:
        _check_document(path, document, error)
    return document


def read_toml(path: Path, error: type[DenetError], limit: int = TEXT_LIMIT) -> dict[str, Any]:
    """A file of TOML. Raises: as `read_file`, and if it is none."""
    import msgspec

    content = read_text(path, error, limit)
    with reading(path, error, "not TOML"):
        document = msgspec.toml.decode(content, type=dict[str, Any])
    _check_document(path, document, error)
    return document


def _check_document(path: Path, document: Any, error: type[DenetError]) -> None:
    """See that a document is no deeper than settings are, that its texts can be names, and that its
    whole numbers are such as 64 bits hold: what computes with others fails in ways of its own."""
    level: list[tuple[str, Any]] = [("", document)]
    for _ in range(DEEPEST):
        for key, value in level:
            if isinstance(value, str) and "\0" in value:
                raise error(f"{path}: {key}: has the character NUL in it")
            if isinstance(value, int) and not -WIDEST <= value < WIDEST:
                raise error(f"{path}: {key}: {str(value)[:20]}... is too large a number")
        level = [inner for key, value in level for inner in _inner(key, value)]
        if not level:
            return
    raise error(f"{path}: nested deeper than {DEEPEST} levels, starting with {level[0][0][:40]}...")


def _inner(key: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{key}.{name}".lstrip("."), each) for name, each in value.items()]
    if isinstance(value, list):
        return [(f"{key}[{i}]", each) for i, each in enumerate(value)]
    return []
