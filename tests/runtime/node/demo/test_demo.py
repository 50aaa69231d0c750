"""`denet node demo`: what it draws, and what its node makes of that."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from denet.folders import FOLDERS, folder_of
from runtime.bundle.bundle import Bundle
from runtime.gallery.scores import carried_scores
from runtime.node import read_settings
from runtime.node.check import check_node
from runtime.node.demo import recording
from runtime.node.demo.demonstration import BUNDLE, make_demonstration
from runtime.node.demo.recording import FAILURES, NAMES, RATE, SECONDS, VISITS, failing
from tests.command import denet, refused
from tests.paths import ROOT
from tests.runtime.node.parts import balanced, events, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    make_demonstration(folder, 0)
    return folder


def test_the_bundle_that_ships_is_whole_and_knows_how_alike_strangers_are() -> None:
    bundle = Bundle.open(BUNDLE)
    bundle.verify()
    scores = carried_scores(bundle)
    assert scores is not None
    assert scores.least_rate < 0.001
    assert sum(file.bytes for file in bundle.manifest.files()) < 6e6


def test_what_is_drawn_passes_a_check(made: Path) -> None:
    said: list[str] = []
    assert check_node(read_settings(made / "node.toml"), said.append) == []
    assert any(line.startswith("trial: ") for line in said)


def test_people_come_as_they_should_and_sensors_fail_on_cue(made: Path) -> None:
    count = int(RATE * SECONDS)
    lines = [json.loads(line) for line in (made / "boxes.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [f"{i:06}" for i in range(count)]
    most = max(len(line["boxes"]) for line in lines)
    assert most == 3
    overlapping = sum(
        min(a[2], b[2]) > max(a[0], b[0])
        for line in lines
        for a, b in pairwise(sorted(line["boxes"]))
    )
    assert overlapping > 5, "nobody crosses"
    assert sorted(v.person for v in VISITS) == [0, 0, 1, 1, 2, 3]
    for m, what, begin, end in FAILURES:
        files = {p.stem for p in (made / "street" / folder_of(m)).iterdir()}
        during = {f"{i:06}" for i in range(count) if begin <= i / RATE < end}
        assert (files & during == set()) == (what == "absent")
        assert len(files) == count - (len(during) if what == "absent" else 0)
    for who in NAMES:
        assert len(list((made / "people" / "RGB").glob(f"{who}_*.jpg"))) == recording.PORTRAITS
    still = failing("nir", 20.0, "new", "before")  # type: ignore[arg-type]
    assert still == "before"


@pytest.mark.slow
def test_the_node_finds_who_was_enrolled_and_calls_no_replay_a_fault(made: Path) -> None:
    """In real time: once through the recording, and into its second round."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "node", "run", str(made / "node.toml"), "--for", "34"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "status page: http://127.0.0.1:" in done.stderr
    told = events(made / "events.jsonl")
    names = {e["match"]["identity"] for e in told if e["kind"] == "track" and e["match"]}
    assert names <= set(NAMES)
    assert names, "nobody was identified"
    faults = [e["reason"] for e in told if e["notice"] == "sensor lost"]
    assert {m for m in FOLDERS if any(f.startswith(m) for f in faults)} == set(FOLDERS)
    assert not any("shown before" in fault for fault in faults)
    for m, _, _, _ in FAILURES:
        assert any(f.startswith(m) for f in faults)


def test_a_short_run_balances(made: Path, tmp_path: Path) -> None:
    text = (made / "node.toml").read_text().replace("loop = true", "loop = false")
    text = text.replace("rate = 10", "rate = 100").replace("events.jsonl", "short.jsonl")
    config = tmp_path / "node.toml"
    config.write_text(text)
    facts, _said = run(read_settings(config))
    balanced(facts)
    assert facts.tracks is not None
    assert facts.tracks.account.entered > 0


def test_the_command_leaves_nothing_behind_unless_it_is_told_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short: dict[str, Any] = {"SECONDS": 1.0, "VISITS": VISITS[:2]}
    for name, value in short.items():
        monkeypatch.setattr(recording, name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = denet("node", "demo", "--for", 0.5)
    assert done.exit_code == 0, done.output
    assert "status page: http://127.0.0.1:" in done.stderr
    assert list(tmp_path.iterdir()) == []
    kept = tmp_path / "kept"
    assert denet("node", "demo", kept, "--for", 0.2).exit_code == 0
    assert (kept / "node.toml").is_file()
    refused(denet("node", "demo", kept), "kept: is not empty", "new")
    refused(denet("node", "demo", tmp_path / "no" / "where"), "folder")
