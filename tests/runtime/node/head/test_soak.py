"""Four heads for a while: people cross, sensors and heads fail at random, the process is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.gallery import open_gallery
from runtime.node import Node, read_settings
from runtime.node.demo.demonstration import BUNDLE, make_demonstration
from runtime.node.faults import FaultSettings
from runtime.node.memory import give_back, share_one_arena
from tests.paths import ROOT
from tests.runtime.node.head.test_heads import head_balanced
from tests.runtime.node.parts import events, ignore

pytestmark = pytest.mark.slow

HEADS = ("north", "east", "south", "west")

GROWTH = 4.0
"""MB that the means of memory may differ by, of the second third of a run and its last."""

CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from denet.graph import RGB_NIR_TIR
from runtime.bundle.bundle import Bundle
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node import Node, read_settings

settings, run = read_settings(Path(sys.argv[1])), sys.argv[2]
space = Space.of(Bundle.open(settings.model.bundle).manifest)
chance = np.random.default_rng(int(run))
node = Node(settings, notify=lambda _: None)
node.start()
print("running", flush=True)
with open_gallery(settings.gallery.url) as gallery:
    for number in range(10**6):
        vector = chance.standard_normal(space.dim).astype(np.float32)
        vector /= np.linalg.norm(vector)
        state = RGB_NIR_TIR.states[number % 7]
        gallery.enrol(space, [Enrolment(f"{run}-{number}", state, vector)])
        print(f"{run}-{number}", flush=True)
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("street") / "demo"
    make_demonstration(folder, 0)
    return folder


def config(folder: Path, street: Path, rate: float = 10.0) -> Path:
    """Four heads that see the street, each at its own pace, so that they are never in step."""
    heads = "".join(
        f'[[heads]]\nname = "{name}"\n'
        + "".join(
            f'[heads.sources.{m}]\nurl = "folder:{street}/street"\n'
            f"rate = {rate * (1 + 0.07 * i):g}\nloop = true\n"
            for m in ("rgb", "nir", "tir")
        )
        for i, name in enumerate(HEADS)
    )
    path = folder / "node.toml"
    path.write_text(
        f'name = "gate"\n[model]\nbundle = "{BUNDLE}"\n'
        f'[boxes]\nfile = "{street}/boxes.jsonl"\n[tracks]\nfmr = 0.01\nembeddings = true\n'
        f'[gallery]\nurl = "file:{street}/gallery.db"\nfmr = 0.001\n'
        f'[events.lines]\npath = "{folder}/events.jsonl"\n[timing]\ntolerance = 0.02\n{heads}'
    )
    return path


def resident() -> float:
    """MB of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spoil(node: Node, chance: random.Random) -> None:
    """Give one of the heads a defect in its first or second stage."""
    run = chance.choice(node._heads)._run
    if run is None:
        return

    def defect(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    if chance.random() < 0.5:
        run._intake._judge = defect  # type: ignore[method-assign]
    else:
        run._moments.leave = defect  # type: ignore[method-assign, assignment]


def numbers_by_run(told: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for event in told:
        run, _, number = event["id"].rpartition("-")
        found[run].append(int(number))
    return found


@pytest.mark.parametrize("seconds", [40, pytest.param(1800, marks=pytest.mark.long)])
def test_accounts_balance_and_memory_is_flat(street: Path, tmp_path: Path, seconds: float) -> None:
    share_one_arena()  # as `denet node run` does: each head that is begun anew has new threads
    chance = random.Random(0)
    node = Node(
        read_settings(config(tmp_path, street)), faults=FaultSettings(every=100), notify=ignore
    )
    for head in node._heads:
        head._backoff.ceiling = 1.0
    node.start()
    began = time.monotonic()
    memory: list[float] = []
    due = 2.0
    while (passed := time.monotonic() - began) < seconds:
        head_balanced(node.snapshot())
        memory.append(resident())
        if passed > due:
            due += 3.0
            spoil(node, chance)
            give_back()
        assert not node.wait(0.2)
    end = node.close()
    assert node.failure == ""
    head_balanced(end)
    for head in end.heads:
        accounts = [*head.frames.values(), head.triplets, head.crops]
        assert all(account.held == 0 for account in accounts), head
        assert head.tracks is not None
        assert head.tracks.account.balanced
        assert head.tracks.account.held == 0
        assert head.crops.left > 0
    assert sum(head.failures for head in end.heads) > 2
    (counters,) = end.events
    assert counters.published == counters.delivered
    told = events(tmp_path / "events.jsonl")
    (numbers,) = numbers_by_run(told).values()
    assert numbers == list(range(1, counters.published + 1))
    of_people = [e for e in told if e["kind"] == "embedding"]
    for head in end.heads:
        assert sum(e["head"] == head.name for e in of_people) == head.crops.left
    changes: dict[str, list[str]] = defaultdict(list)
    for event in told:
        if event["kind"] == "track":
            changes[event["track"]["id"]].append(event["track"]["change"])
    assert changes
    assert all(each[0] == "started" and each[-1] == "ended" for each in changes.values())
    lost, back = ([e for e in told if e["notice"] == f"head {kind}"] for kind in ("lost", "back"))
    assert len(lost) > len(back) - 1 >= -1
    if seconds > 1000:  # in the first minutes plans are kept, and faults make new ones
        middle, last = np.array_split(np.array(memory), 3)[1:]
        assert last.mean() - middle.mean() < GROWTH


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.long)])
def test_kills_cost_nothing_that_was_acknowledged(street: Path, tmp_path: Path, kills: int) -> None:
    chance = random.Random(1)
    path = config(tmp_path, street)
    told: list[str] = []
    for run in range(kills):
        command = [sys.executable, "-c", CHILD, str(path), str(run)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "running\n"
            timer = threading.Timer(chance.uniform(0.2, 4.0), os.kill, (child.pid, signal.SIGKILL))
            timer.start()
            lines = child.stdout.read().splitlines(keepends=True)
        told += [line.strip() for line in lines if line.endswith("\n")]
        with open_gallery(f"{street}/gallery.db") as gallery:
            there = {entry.identity for entry in gallery.entries()}
        assert not set(told) - there
    with Node(read_settings(path), notify=ignore) as node:
        node.start()
        node.wait(1.0)
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    runs = numbers_by_run(found)
    assert len(runs) == kills + 1
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in runs.values())
    assert {e["head"] for e in found if e["kind"] == "embedding"} <= set(HEADS)
