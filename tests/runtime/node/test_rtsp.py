"""`denet node run` on three network cameras, one of which freezes, dies, and changes its size."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from denet.graph import RGB_NIR_TIR
from tests.paths import ROOT
from tests.runtime.node.rtsp import RtspCamera, system_python


class RunningNode:
    """`denet node run --json` as a program of its own."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, str(ROOT / "cli.py"), "node", "run", str(config), "--json"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.facts: list[dict[str, Any]] = []
        self.said = ""
        self._arrived: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_facts),
            threading.Thread(target=self._read_said),
        ]
        for reader in self._readers:
            reader.start()

    def _read_facts(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arrived.put(json.loads(line))

    def _read_said(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def until(self, enough: Callable[[dict[str, Any]], bool], seconds: float = 60) -> None:
        """Waits for a second of which this holds; which may take long on a busy machine."""
        end = time.monotonic() + seconds
        while True:
            try:
                facts = self._arrived.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                last = self.facts[-1] if self.facts else None
                raise AssertionError(f"waited in vain; last: {last}; said: {self.said}") from None
            self.facts.append(facts)
            if enough(facts):
                return

    def until_fault(self, fault: str, words: str = "") -> None:
        """Until the thermal camera has this fault, and the node goes on with the others."""
        self.until(
            lambda f: (
                f["sensors"].get("tir", {}).get("fault") == fault
                and words in f["sensors"]["tir"]["reason"]
                and f["state"] == "rgb+nir"
            )
        )

    def until_well(self) -> None:
        self.until(lambda f: f["state"] == "rgb+nir+tir")

    def end(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0
        for reader in self._readers:
            reader.join()
        while not self._arrived.empty():
            self.facts.append(self._arrived.get())


@pytest.fixture
def cameras() -> Iterator[dict[str, RtspCamera]]:
    pytest.importorskip("av")
    python = system_python("Gst", "GstRtspServer")
    started = {m: RtspCamera(python) for m in RGB_NIR_TIR.modalities}
    try:
        for camera in started.values():
            camera.start()
        yield started
    finally:
        for camera in started.values():
            camera.kill()


@pytest.mark.slow
def test_a_node_goes_on_through_what_becomes_of_a_network_camera(
    cameras: dict[str, RtspCamera], bundle_path: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    config = tmp_path / "node.toml"
    sources = "".join(
        f'[sources.{m}]\nurl = "{camera.url}"\ntimeout = 2.0\n' for m, camera in cameras.items()
    )
    config.write_text(
        f'name = "a"\n[model]\nbundle = "{bundle_path}"\nbackend = "ort-cpu"\n{sources}'
        # Cameras of 25 Hz that run free: half of a period.
        f'[timing]\ntolerance = 0.025\n[events.lines]\npath = "{lines}"\n'
    )
    node, thermal = RunningNode(config), cameras["tir"]
    try:
        node.until_well()
        thermal.tell("freeze")
        node.until_fault("frozen")
        thermal.tell("thaw")
        node.until_well()
        thermal.kill()
        node.until_fault("absent", "refused")
        thermal.start(width=208, height=144)
        node.until_fault("size", "208x144 pixels instead of 160x120")
        thermal.kill()
        thermal.start()
        node.until_well()
    finally:
        node.end()
    assert "secret" not in node.said
    assert "secret" not in json.dumps(node.facts)
    for facts in node.facts:
        for account in (*facts["frames"].values(), facts["triplets"], facts["crops"]):
            gone = account["left"] + sum(account["dropped"].values()) + account["held"]
            assert gone == account["entered"]
    end = node.facts[-1]
    assert end["crops"]["held"] == 0
    events = [json.loads(line) for line in lines.read_text().splitlines()]
    states = [event["state"] for event in events if event["kind"] == "embedding"]
    assert len(states) == end["crops"]["left"]
    assert {"rgb+nir+tir", "rgb+nir"} <= set(states)
    # Each time the thermal camera was away its verdict said why.
    reasons = {
        event["verdicts"]["tir"]["fault"]
        for event in events
        if event["kind"] == "embedding" and event["state"] == "rgb+nir"
    }
    assert {"frozen", "absent", "size"} <= reasons
