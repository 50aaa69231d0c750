"""Every block runs in a fresh environment with the install that it names, and with nothing else.

Blocks for `.[train]` run in the environment of development instead: installing torch anew takes
longer than all the rest, and shows nothing that `make demo` does not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from calibration import Outcome
from tests.docs.blocks import DOCUMENTS, blocks
from tests.docs.reader import furnish
from tests.docs.running import forget, run
from tests.docs.server import Server
from tests.paths import ROOT

pytestmark = pytest.mark.slow

INSTALLS = sorted({b.install for d in DOCUMENTS for b in blocks(d) if b.install and not b.not_run})
SOURCES = ("calibration", "denet", "export", "runtime", "*.py", "pyproject.toml", "*.md", "LICENSE")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an install is made of: pip would leave its work in the checkout, and find it again."""
    folder = tmp_path_factory.mktemp("checkout")
    for pattern in SOURCES:
        for path in ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, folder / path.name)
            else:
                shutil.copy(path, folder)
    return folder


@pytest.fixture(
    params=[pytest.param(i, marks=pytest.mark.long if i == "train" else ()) for i in INSTALLS]
)
def installed(
    request: pytest.FixtureRequest, sources: Path, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    """The name of an install, and the folder of its commands."""
    install: str = request.param
    if install == "train":
        server = Server(tmp_path / "server", ROOT, fast=False)
        server.wait()
        yield install, server.commands
        server.close()
        return
    venv.create(tmp_path / "venv", with_pip=True)
    commands = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    named = str(sources) if install == "base" else f"{sources}[{install}]"
    subprocess.run([commands / "python", "-m", "pip", "install", "-q", named], check=True)
    for pip in commands.glob("pip*"):
        pip.unlink()
    (commands / "pip").write_text("#!/bin/sh\n")  # what a block installs is there already
    (commands / "pip").chmod(0o755)
    yield install, commands


def test_blocks_run_in_their_install(
    installed: tuple[str, Path],
    scored_path: Path,
    outcome: Outcome,
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install, commands = installed
    if install != "train":
        monkeypatch.delenv("PYTHONPATH", raising=False)
    for document in DOCUMENTS:
        every = [b for b in blocks(document) if b.not_run is None]
        if not any(b.install == install for b in every):
            continue
        # What needs an extra may go on with what was made without; every install has the base.
        mine = [b for b in every if b.install in {install, "base"}]
        folder = tmp_path / document.stem
        folder.mkdir()
        # What compares precisions, or looks into INT8, is of a bundle that was calibrated.
        calibrated = document.stem in {"benchmark", "profile"}
        bundle = outcome.bundle.root if calibrated else scored_path
        furnish(folder, bundle, outcome.bundle, checkpoint, data)
        for block in mine:
            forget(block, folder)
            run(block, folder, commands)
        shutil.rmtree(folder)
