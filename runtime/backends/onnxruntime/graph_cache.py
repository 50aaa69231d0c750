"""Graphs that ONNX Runtime has optimized, kept so that the next start does not do it again.

Such a graph is good for one engine, one processor and one release: it holds operators and layouts
of that processor. So it is found by a name that is made of all these. It stands in the place of an
engine whose digest the manifest has, and is not covered by that; it begins with a code of this
machine's key over the rest (`runtime.machine.key`), and what has another one is not ours.

A cache is no reason not to run: a graph that is damaged is made anew, and one that cannot be kept,
as on a disk that is full by now, is done without.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import msgspec

from denet.files import written_whole
from denet.outputs import check_room
from denet.reading import read_file
from denet.temporary import NEW, temporary
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.releases import wrong_optimizers
from runtime.machine.key import code_of, is_code, made_key, own_key
from runtime.machine.processor import read_cpu

SUFFIX = ".graph"
_NAME = re.compile(r"[0-9a-f]{64}\.graph")

UNUSED = 30 * 86400.0
"""Seconds after which a graph that nobody has taken is removed, when another one is kept."""

LIMIT = 2 << 30
"""Bytes of a graph: no ONNX file with its weights inside has more."""

_CODE = 64
"""Hexadecimal digits of the code that a file begins with."""


class GraphCache:
    """Optimized graphs in a folder, which is made when the first is kept.

    Args:
        folder: for them alone; only its owner may look into it.

    Raises:
        BackendError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        check_room(folder, BackendError)
        self._folder = folder

    def find(self, engine: str) -> bytes | None:
        """The graph of an engine for this processor and release; None where none is kept.

        Args:
            engine: the sha256 of its ONNX file.
        """
        path = self._folder / _name(engine)
        if not path.exists():
            return None
        try:
            content = read_file(path, BackendError, LIMIT)
            code, graph = content[:_CODE], content[_CODE:]
            ours = is_code(own_key(BackendError), _signed(path.name, graph), code.decode("latin-1"))
        except BackendError:
            return None
        if not ours:
            return None
        with suppress(OSError):
            os.utime(path)  # it is in use
        return graph

    def keep(self, engine: str, graph: bytes) -> None:
        """Keep the graph of an engine, and let go of those that nobody has used for long.

        Args:
            engine: the sha256 of its ONNX file.
            graph: what ONNX Runtime made of it here.
        """
        path = self._folder / _name(engine)
        with suppress(BackendError, OSError):
            code = code_of(made_key(BackendError), _signed(path.name, graph))
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with written_whole(path, private=True) as temporary:
                temporary.write_bytes(code.encode() + graph)
            self._remove_unused()

    @contextmanager
    def keeping(self, engine: str) -> Iterator[Path | None]:
        """A file for ONNX Runtime to write the graph of an engine to, which is kept at the end;
        None where there is no room for one.

        Args:
            engine: the sha256 of its ONNX file.
        """
        with ExitStack() as stack:
            written = None
            with suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                written = stack.enter_context(temporary(self._folder / _name(engine))) / NEW
            yield written
            if written is not None and written.is_file():
                self.keep(engine, written.read_bytes())

    def _remove_unused(self) -> None:
        before = time.time() - UNUSED
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and status.st_mtime < before:
                    path.unlink(missing_ok=True)


def _name(engine: str) -> str:
    """That of the graph of an engine, for this processor and release."""
    facts = {
        "engine": engine,
        "release": ort.__version__,
        "without": wrong_optimizers(ort.__version__),
        "processor": _processor(),
    }
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest() + SUFFIX


@cache
def _processor() -> tuple[str | None, str, tuple[str, ...]]:
    """What a graph is optimized for; read once, for it costs a look into many files."""
    cpu = read_cpu()
    return cpu.model, cpu.architecture, cpu.instructions


def _signed(name: str, graph: bytes) -> bytes:
    """What the code of a graph is of: a graph under another's name is another's."""
    return f"denet-graph {name}\n".encode() + graph
