"""A node as a program: the loop, signals, memory, the command line."""

from __future__ import annotations

import gc
import inspect
import itertools
import json
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import runtime.node
from runtime.node import Node, NodeSnapshot, memory
from runtime.node.running import Signals, run_node
from tests.command import denet
from tests.paths import DOCS
from tests.runtime.node.parts import (
    balanced,
    config_file,
    endless,
    ignore,
)

# The loop of the documentation


def test_the_loop_of_the_documentation_has_a_watchdog(
    bundle_path: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (DOCS / "node.md").read_text()
    code = page.partition("**In an application**:\n\n```python\n")[2].partition("```")[0]
    loop = code[code.index("node.start()") :]
    for text in (runtime.node.__doc__, inspect.getdoc(Node)):
        assert text is not None
        assert loop in text + "\n" or textwrap.indent(loop, "    ") in text + "\n"

    def stuck(_frames: object, _time: float) -> list[tuple[int, int, int, int]]:
        time.sleep(0.0 if calls else 2.5)
        calls.append(1)
        return []

    calls: list[int] = []
    lines = tmp_path / "events.jsonl"
    config_file(tmp_path, bundle_path, data / "test", lines).write_text(
        "watchdog = 0.1\n" + (tmp_path / "node.toml").read_text()
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "detector", SimpleNamespace(persons=stuck))
    exec(code, {})
    told = capsys.readouterr().out
    assert "boxes: no progress for " in told
    assert "'stuck': True" in told
    assert told.splitlines()[-1] == "stopped: it was asked to"


# Signals


def test_a_defect_ends_the_node_and_is_told(
    bundle_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    node = Node(endless(bundle_path, data), notify=ignore)
    (head,) = node._heads
    assert head._run is not None
    monkeypatch.setattr(head._run._intake, "_judge", defect)
    facts = run_node(node, ignore)
    assert node.failure == "sources: ZeroDivisionError: a defect"
    assert facts.crops.held == 0


def test_memory_is_given_back_from_time_to_time(
    bundle_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.node.running.TIDYING", 0.1)
    given: list[int] = []
    monkeypatch.setattr(memory, "_trim", given.append)
    node = Node(endless(bundle_path, data), notify=ignore)
    found: list[int] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    enabled = gc.isenabled()
    gc.disable()
    gc.callbacks.append(watch)
    try:
        run_node(node, ignore, seconds=1.0)
    finally:
        gc.callbacks.remove(watch)
        if enabled:
            gc.enable()
    assert 2 <= found.count(2) == len(given) <= 11


def test_a_report_that_nobody_reads_ends_the_node(bundle_path: Path, data: Path) -> None:
    def broken(_facts: NodeSnapshot) -> None:
        raise BrokenPipeError

    node = Node(endless(bundle_path, data), notify=ignore)
    with pytest.raises(BrokenPipeError):
        run_node(node, broken)
    assert node.wait(0.0)


@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_a_node_in_order_and_two_at_once(
    bundle_path: Path, data: Path, times: int
) -> None:
    said: list[str] = []
    node = Node(endless(bundle_path, data), notify=said.append)
    signals = Signals()
    reports: Iterator[int] = itertools.count()

    def report(_facts: NodeSnapshot) -> None:
        if next(reports) == 0:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with signals.caught():
        facts = run_node(node, report, signals=signals)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signals.stops == times
    balanced(facts)
    assert facts.crops.held == facts.triplets.held == 0
    assert all(account.held == 0 for account in facts.frames.values())
    assert said[-1].startswith("stopped: ")


def test_a_command_line_runs_for_a_while(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setattr(memory, "_mallopt", lambda *wanted: asked.append(wanted))
    config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "events.jsonl")
    done = denet("node", "run", config, "--json", "--for", "0.3", "--inject", "every=3;kinds=black")
    assert done.exit_code == 0, done.output
    assert asked == [(memory.ARENA_MAX, 1)]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["crops"]["entered"] == facts["triplets"]["left"]
    assert facts["frames"]["rgb"]["held"] == 0
    text = denet("node", "run", config, "--for", "0.2")
    assert "rgb frames: " in text.stdout
    assert "stopped: " in text.stderr
