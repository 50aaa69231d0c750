"""A check tries everything that is named, and leaves every byte of it as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime.bundle.bundle import Bundle
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node.events.encoding import encode
from runtime.node.events.outbox import Outbox
from tests.command import denet, refused
from tests.paths import ROOT
from tests.runtime.node.events.parts import event
from tests.runtime.node.parts import config_file

if TYPE_CHECKING:
    from tests.runtime.node.broker import Broker

KILLED = """
import os, sys
import numpy as np
from denet.graph import RGB_NIR_TIR
from runtime.bundle.bundle import Bundle
from runtime.gallery import Enrolment, Space, open_gallery

space = Space.of(Bundle.open(sys.argv[2]).manifest)
gallery = open_gallery(sys.argv[1], create=True)
one = np.eye(1, space.dim, dtype=np.float32)[0]
gallery.enrol(space, [Enrolment("alice", RGB_NIR_TIR.complete, one)])
os._exit(0)  # as if it were killed
"""


def everything(*folders: Path) -> dict[Path, tuple[bytes, int, int]]:
    """Content, time and mode of all files but SQLite's index of a log, which each use makes."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    pytest.importorskip("paho")
    from tests.runtime.node.broker import MOSQUITTO, Broker

    if MOSQUITTO is None:
        pytest.skip("needs mosquitto")
    started = Broker(tmp_path_factory.mktemp("broker"))
    started.start()
    yield started
    started.kill()


def test_a_check_changes_nothing_that_is_named(
    bundle_path: Path, data: Path, tmp_path: Path, broker: Broker
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "g.db"), str(bundle_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    lines = tmp_path / "events.jsonl"
    lines.write_bytes(encode(event(0)) + b'\n{"id":"cut')
    outbox = Outbox(tmp_path / "outbox.db", 1 << 20)
    outbox.add([("topic", b"waits")])
    outbox.close()
    more = (
        f'[gallery]\nurl = "{tmp_path}/g.db"\nthreshold = 0.9\n'
        f'[events.mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\noutbox = "{tmp_path}/outbox.db"\n'
    )
    config = config_file(tmp_path, bundle_path, data / "test", lines=lines, more=more)
    before = everything(tmp_path, bundle_path)
    done = denet("node", "check", config)
    assert done.exit_code == 0, done.output
    assert everything(tmp_path, bundle_path) == before


def test_a_check_makes_nothing(bundle_path: Path, data: Path, tmp_path: Path) -> None:
    space = Space.of(Bundle.open(bundle_path).manifest)
    one = np.eye(1, space.dim, dtype=np.float32)[0]
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        gallery.enrol(space, [Enrolment("alice", RGB_NIR_TIR.complete, one)])
    more = f'[gallery]\nurl = "{tmp_path}/g.db"\nthreshold = 0.9\n'
    config = config_file(
        tmp_path, bundle_path, data / "test", lines=tmp_path / "events.jsonl", more=more
    )
    at = tmp_path.stat().st_mtime_ns
    done = denet("node", "check", config)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.db", config.name]
    assert tmp_path.stat().st_mtime_ns == at, "nothing was made for a moment either"


@pytest.mark.parametrize("key", ["lines", "outbox"])
@pytest.mark.parametrize("content", [bytes(3000), b"my thesis\nwithout an end"])
def test_a_check_refuses_another_program_s_file_and_leaves_it(
    bundle_path: Path, data: Path, tmp_path: Path, key: str, content: bytes
) -> None:
    pytest.importorskip("paho")
    precious = tmp_path / "precious.bin"
    precious.write_bytes(content)
    lines = precious if key == "lines" else tmp_path / "events.jsonl"
    more = f'[events.mqtt]\nurl = "mqtt://127.0.0.1:1"\noutbox = "{precious}"\n'
    config = config_file(
        tmp_path, bundle_path, data / "test", lines=lines, more=more if key == "outbox" else ""
    )
    before = everything(tmp_path)
    refused(denet("node", "check", config), "events", str(precious))
    assert everything(tmp_path) == before
