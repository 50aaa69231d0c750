"""What the documentation names is there: files, modules, targets of make, links and headings."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer

import cli
from tests.docs.blocks import DOCUMENTS, blocks, name, prose
from tests.paths import DOCS, ROOT

PACKAGES = ("calibration", "cli", "denet", "export", "measurements", "runtime", "tests")
FOLDERS = (*PACKAGES, "docker", "docs", "locks", "scripts")

CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
MODULE = re.compile(rf"(?<![\w/.-])(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
PLACE = re.compile(r"[\w./*-]+")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

MADE = {"docs/gpu-report.md": "`make gpu` writes it"}
"""Files of the repository that the documentation names and that are made later."""

FILES = {".py", ".md", ".html", ".json", ".toml"}

VALUES = {
    "runtime.backend": "of a Runtime that is called `runtime`",
    "runtime.precision": "likewise",
    "runtime.reason": "likewise",
}
"""Dotted names that begin like a package and are values of an example."""


def named(document: Path) -> list[str]:
    return [" ".join(found.split()) for found in CODE.findall(prose(document))]


def is_place(text: str) -> bool:
    """Whether this looks like a file or folder of the repository."""
    if not PLACE.fullmatch(text) or text.startswith(("/", ".")):
        return False
    first, slash, _ = text.partition("/")
    return bool(slash) and first in FOLDERS


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_that_are_named_exist(document: Path) -> None:
    words = [word for text in named(document) for word in text.split()]
    places = {w for w in words if is_place(w)} - MADE.keys()
    lost = {p for p in places if not (ROOT / p).exists() and not any(ROOT.glob(p))}
    assert not lost


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_python_files_that_are_named_exist(document: Path) -> None:
    """`schedule.py` alone is a file somewhere in the repository."""
    words = {word for text in named(document) for word in text.split()}
    files = {w for w in words if re.fullmatch(r"[\w/]+\.py", w)}
    lost = {f for f in files if not any((ROOT / top).glob(f"**/{f}") for top in FOLDERS)}
    assert not {f for f in lost if not (ROOT / f).exists()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_modules_that_are_named_exist(document: Path) -> None:
    found = {m for text in named(document) for m in MODULE.findall(text)} - VALUES.keys()
    lost = {m for m in found if Path(m).suffix not in FILES and not exists(m)}
    assert not lost


def exists(dotted: str) -> bool:
    """Whether this is a module, or something in one."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    lost = []
    for link in LINK.findall(prose(document)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        to = (document.parent / path).resolve() if path else document
        if not to.exists() or (anchor and anchor not in anchors(to)):
            lost.append(link)
    assert not lost


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = [re.sub(r"[`*]", "", h).strip().lower() for h in HEADING.findall(prose(document))]
    return {re.sub(r"[^\w\- ]", "", h).replace(" ", "-") for h in text}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_targets_of_make_exist(document: Path) -> None:
    texts = [*named(document), *(b.text for b in blocks(document) if b.language == "sh")]
    targets = {t for text in texts for t in re.findall(r"^make ([\w-]+)", text, re.MULTILINE)}
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_extras_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    extras = {e for found in re.findall(r"'\.\[([\w,]+)\]'", text) for e in found.split(",")}
    assert "denet-edge[" not in text, "it is on no registry: '.[...]'"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {e for e in extras if not re.search(rf"^{e} = \[", project, re.MULTILINE)} == set()


def test_messages_name_extras_of_a_checkout() -> None:
    sources = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py")]
    wrong = re.compile(r"install ['\"]denet-edge")
    assert not [p for p in sources if wrong.search(p.read_text(encoding="utf-8"))]


def test_every_document_is_linked() -> None:
    """From the README, or from the site's own pages; the site itself is built without orphans."""
    pages = [ROOT / "README.md", DOCS / "index.md", *(DOCS / "how-to").glob("*.md")]
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert set(DOCS.rglob("*.md")) <= linked


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_that_are_not_run_could_be(document: Path) -> None:
    """Of a block that is not run, every command of denet is one, with options that there are."""
    for block in blocks(document):
        if block.language != "sh" or block.not_run is None:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            for words in commands_of(line):
                if words[:1] == ["denet"]:
                    parsed(words[1:])


def commands_of(line: str) -> Iterator[list[str]]:
    """The commands of a line of a shell."""
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    words.whitespace_split = True
    words.commenters = "#"
    for operator, command in groupby(words, lambda word: not word.strip("&|;")):
        if not operator:
            yield list(command)


def parsed(arguments: list[str]) -> None:
    """Read arguments as the program does, and do nothing."""
    command: Any = typer.main.get_command(cli.app)
    called, context = "denet", None
    while True:
        context = command.make_context(called, arguments, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        called, command, arguments = command.resolve_command(context, rest)
