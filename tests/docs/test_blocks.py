"""Every block of the documentation runs as it stands, in the environment of development.

That it runs in the install that it names is what `test_installs.py` shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calibration import Outcome
from tests.docs.blocks import DOCUMENTS, Block, blocks, name
from tests.docs.reader import copy, furnish
from tests.docs.running import LANGUAGES, READERS, run
from tests.docs.server import Server
from tests.docs.sizes import SLOW, SMALLER
from tests.paths import ROOT

ALL = [block for document in DOCUMENTS for block in blocks(document)]
RUN = [document for document in DOCUMENTS if any(b.not_run is None for b in blocks(document))]

LENGTHY = {
    "docs/calibration.md",
    "docs/evaluation.md",
    "docs/gallery.md",
    "docs/node.md",
    "docs/sensors.md",
    "docs/walkthroughs/from-a-bundle-to-a-node.md",
    "docs/walkthroughs/from-images-to-a-bundle.md",
}
"""Documents whose blocks run for long: with the tests that are slow."""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server = Server(tmp_path_factory.mktemp("commands"), ROOT, fast=True)
    try:
        server.wait()
        yield server.commands
    finally:
        server.close()


@pytest.fixture(scope="module")
def furnished(
    scored_path: Path,
    outcome: Outcome,
    checkpoint: Path,
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A reader's folder, to copy."""
    folder = tmp_path_factory.mktemp("reader")
    furnish(folder, scored_path, outcome.bundle, checkpoint, data)
    return folder


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            document, id=name(document), marks=[pytest.mark.slow] * (name(document) in LENGTHY)
        )
        for document in RUN
    ],
)
def test_blocks_run(document: Path, commands: Path, furnished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    copy(furnished, folder)
    for block in blocks(document):
        if block.not_run is None:
            run(block, folder, commands)


def test_lengthy_documents_are_there() -> None:
    assert set(map(name, RUN)) >= LENGTHY


@pytest.mark.parametrize("block", [b for b in ALL if b.not_run], ids=str)
def test_what_is_not_run_says_why(block: Block) -> None:
    pytest.skip(f"{block}: {block.not_run}")


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    assert block.read_as is None or block.read_as in READERS
    if block.language in {"sh", "python"} and block.not_run is None and block.file is None:
        assert block.install or block.text.startswith("make "), "say: <!-- install: ... -->"
    if block.language == "text":
        starts = {line.partition(" ")[0] for line in block.text.splitlines()}
        assert not starts & {"denet", "pip", "python", "make", "docker"}, "is this not `sh`?"


@pytest.mark.parametrize("entry", [*SMALLER, *SLOW], ids=lambda entry: entry.pattern.pattern)
def test_what_is_run_smaller_is_there(entry: object) -> None:
    text = "\n".join(b.text for b in ALL if b.not_run is None)
    text += (ROOT / "docs" / "node.toml").read_text()
    assert any(entry.pattern.search(line) for line in text.split("\n"))  # type: ignore[attr-defined]
