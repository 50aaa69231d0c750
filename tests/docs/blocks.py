"""The fenced blocks of the documentation, and what is said about each in comments before it.

A comment is a line of its own before a block, and does not show on a page:

    <!-- install: train -->        blocks from here on run in `pip install '.[train]'`; `base` is
                                   `pip install .`. Such a line in a block says it, too.
    <!-- not run: needs a GPU -->  the block is not run, and why
    <!-- file: detector.py -->     the block is what this file of the reader's holds
    <!-- read as: recipe -->       what a block of TOML or JSON is for

A block without a comment is run. One of the language `text` shows something and is nothing to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.paths import DOCS, ROOT

DOCUMENTS = (
    ROOT / "README.md",
    *sorted(DOCS.rglob("*.md")),
    ROOT / "docker" / "README.md",
    ROOT / "CONTRIBUTING.md",
)
"""The change log tells of what was, and is no document here."""

COMMENT = re.compile(r"<!-- ([a-z ]+): (.+) -->")
INSTALL = re.compile(r"^pip install '?\.(?:\[(\w+)\])?'?(?:\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: it stands in.
        line: of its first line, from 1.
        language: that the fence names.
        text: between the fences.
        install: the extra it runs with; "base" for none, None where nothing was said yet.
        not_run: why it is not run.
        file: that holds it.
        read_as: what TOML or JSON is for.
    """

    document: Path
    line: int
    language: str
    text: str
    install: str | None = None
    not_run: str | None = None
    file: str | None = None
    read_as: str | None = None

    def __str__(self) -> str:
        return f"{name(self.document)}:{self.line}"


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path) -> list[Block]:
    return list(_blocks(document))


def prose(document: Path) -> str:
    """The document without its blocks, line for line."""
    lines = document.read_text(encoding="utf-8").split("\n")
    for block in blocks(document):
        for at in range(block.line - 2, block.line + block.text.count("\n")):
            lines[at] = ""
    return "\n".join(lines)


def _blocks(document: Path) -> Iterator[Block]:
    lines = document.read_text(encoding="utf-8").split("\n")
    install: str | None = None
    said: dict[str, str] = {}
    start: int | None = None
    for at, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start = at
        elif start is None:
            comment = COMMENT.fullmatch(line)
            said = {**said, comment[1]: comment[2]} if comment else {}
            install = said.get("install", install)
            assert said.keys() <= {"install", "not run", "file", "read as"}, (document, at, said)
        elif line == "```":
            text = "\n".join(lines[start + 1 : at]) + "\n"
            named = INSTALL.search(text)
            if named and "not run" not in said:
                install = named[1] or "base"
            yield Block(
                document=document,
                line=start + 2,
                language=lines[start][3:],
                text=text,
                install=install,
                not_run=said.get("not run"),
                file=said.get("file"),
                read_as=said.get("read as"),
            )
            said, start = {}, None
    assert start is None, f"{name(document)}: a block without an end"
