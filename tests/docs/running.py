"""Runs the blocks of a document, one after the other, in one folder."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from denet.recipe import read_recipe
from runtime.bundle.card import read_card
from runtime.fleet.settings import read_fleet_settings
from runtime.node import NodeError, read_settings
from runtime.node.events import Event
from tests.docs.blocks import Block
from tests.docs.sizes import smaller

SECONDS = 1800
"""No block takes longer, on a machine however busy."""

LANGUAGES = {"sh", "python", "toml", "json", "ini", "text"}


def run(block: Block, folder: Path, commands: Path) -> None:
    """Run a block, or read what it configures.

    Args:
        block: to run.
        folder: of the reader.
        commands: the folder of `denet`, `python` and so on.
    """
    text = smaller(block.text)
    if block.file:
        (folder / block.file).write_text(text)
    if block.language == "sh":
        ask(block, ["bash", "-euo", "pipefail", "-c", text], folder, commands)
    elif block.language == "python" and not block.file:
        (folder / "block.py").write_text(text)
        ask(block, ["python", "block.py"], folder, commands)
    elif block.language == "python":
        compile(text, block.file or "", "exec")
    elif block.language in {"toml", "json"}:
        read(block, text, folder)
    elif block.language == "ini":
        configparser.RawConfigParser(strict=False).read_string(text)


def forget(block: Block, folder: Path) -> None:
    """Take the bundles away that the block exports: whoever runs it has none of that name."""
    for bundle in re.findall(r"denet export .*--out (\S+)", block.text):
        shutil.rmtree(folder / bundle, ignore_errors=True)


def ask(block: Block, command: list[str], folder: Path, commands: Path) -> None:
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "REST": os.environ["PATH"], "COLUMNS": "80"}
    if command[0] == "python":
        command = [str(commands / "python"), *command[1:]]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"{block}: took more than {SECONDS} s: {late.stdout!r} {late.stderr!r}")
    if done.returncode:
        pytest.fail(
            f"{block} ends with {done.returncode}\n{smaller(block.text)}\n"
            f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}",
            pytrace=False,
        )


def read(block: Block, text: str, folder: Path) -> None:
    """Read TOML or JSON by what it configures."""
    assert block.file or block.read_as, f"{block}: say what it is: <!-- read as: ... -->"
    if block.language == "toml":
        msgspec.toml.decode(text)
    if block.read_as:
        path = folder / "block"
        path.write_text(text)
        READERS[block.read_as](path)


def read_node(path: Path) -> None:
    """Sections of a node's configuration, in one that lacks no other."""
    text = path.read_text()
    sections = msgspec.toml.decode(text)
    if "name" not in sections:
        text = f'name = "a"\n{text}'
    if "model" not in sections:
        text += '[model]\nbundle = "b"\n'
    if not sections.keys() & {"sources", "heads"}:
        text += '[sources.rgb]\nurl = "folder:c"\n'
    path.write_text(text)
    read_settings(path)


def read_event(path: Path) -> None:
    text = path.read_bytes()
    msgspec.json.decode(text, type=Event)
    without = [field for field in Event.__struct_encode_fields__ if field != "head"]
    assert list(json.loads(text)) == without, "only events of heads with a name have that"


def read_boxes(path: Path) -> None:
    """As a node with `boxes.file` does."""
    for line in path.read_text().splitlines():
        found = json.loads(line)
        assert found.keys() - {"boxes"} in ({"name"}, {"time"}), found
        if not all(len(box) == 4 for box in found["boxes"]):
            raise NodeError(f"no boxes: {found}")


def read_fleet(path: Path) -> None:
    """The configuration of a fleet, whose files need not be there."""
    text = re.sub(r"[?&](password_file|ca)=[^&\"]*", "", path.read_text())
    path.write_text(text.replace("/people&", "/people?"))
    read_fleet_settings(path)


READERS: dict[str, Callable[[Path], object]] = {
    "node settings": read_node,
    "recipe": lambda path: read_recipe("paper", path),
    "event": read_event,
    "boxes": read_boxes,
    "fleet settings": read_fleet,
    "model card": read_card,
}
