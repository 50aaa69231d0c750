"""How denet knows what it wrote: a mark in the content, which another program's file lacks."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from denet.errors import DenetError
from denet.reading import open_regular, read_json

HEAD = 4096
"""Bytes at the beginning of a file in which a mark stands."""

HEADER_LIMIT = 64 << 20
"""Bytes that the header of a safetensors file may have."""

PAGE = b'<meta name="generator" content="denet">'
TABLE = b"<!-- made by denet -->\n\n"

SOFTWARE = ("Software", "denet")
"""What a PNG says of who made it."""


class UnknownFileError(DenetError):
    """A file that denet did not make."""


@dataclass(frozen=True)
class OutputKind:
    """A kind of file that a command writes.

    Attributes:
        suffix: that its name has to have; "" for any.
        what: it is, with its verb, for messages: "a report is".
        own: what one is called that denet wrote: "a report of denet".
        recognize: whether a path is a regular file of this kind, whole; may raise anything if not.
        private: it holds people: only its owner may read it.
    """

    suffix: str
    what: str
    own: str
    recognize: Callable[[Path], bool]
    private: bool = False

    def made(self, path: Path) -> bool:
        """Whether the file at `path` is one that denet wrote."""
        try:
            return self.recognize(path)
        except Exception:  # whatever a parser makes of another program's file
            return False


def is_page(path: Path) -> bool:
    """Whether a page of HTML says that denet made it."""
    return PAGE in _head(path)


def is_table(path: Path) -> bool:
    """Whether a table in Markdown says that denet made it."""
    return _head(path).startswith(TABLE)


def is_picture(path: Path) -> bool:
    """Whether a PNG says that denet made it."""
    head = _head(path)
    return head.startswith(b"\x89PNG\r\n") and b"\0".join(map(str.encode, SOFTWARE)) in head


def document(name: str) -> Callable[[Path], bool]:
    """Whether a file of JSON says that it is of the format `name`."""
    return lambda path: read_json(path, UnknownFileError, kind=dict)["format"] == name


def arrays(*names: str) -> Callable[[Path], bool]:
    """Whether an npz file is whole and has these arrays."""

    def recognize(path: Path) -> bool:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as stored:
            return {f"{name}.npy" for name in names} <= set(stored.namelist())

    return recognize


def tensors(name: str) -> Callable[[Path], bool]:
    """Whether a safetensors file is whole, and its header has metadata under `name`."""

    def recognize(path: Path) -> bool:
        with open_regular(path) as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size)) if size <= HEADER_LIMIT else {}
            whole = stream.seek(0, 2)
        metadata = header.pop("__metadata__")
        last = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        return name in metadata and whole == 8 + size + last

    return recognize


def _head(path: Path) -> bytes:
    with open_regular(path) as stream:
        return stream.read(HEAD)


REPORT = OutputKind(".html", "a report is", "a report of denet", is_page)
"""A page of HTML."""
