"""What tests of the camera node share: settings, sinks that remember, bundles that differ, runs."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from denet.graph import RGB_NIR_TIR, Modality
from runtime.node import Node, NodeSnapshot
from runtime.node.announcer import Announcer, Sighting
from runtime.node.events import Counters, Event
from runtime.node.fair_queue import FairQueue
from runtime.node.head.output import HeadOutput
from runtime.node.health import Verdict
from runtime.node.settings import NodeSettings, convert
from runtime.node.stage import Stage
from runtime.node.stage_items import Crop
from tests.runtime.bundle.damage import edit_manifest

MODALITIES, STATES = RGB_NIR_TIR.modalities, RGB_NIR_TIR.states

WELL = {m: Verdict(m, None, "") for m in MODALITIES}


class Remembered:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = threading.Condition()

    def publish(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def snapshot(self) -> Sequence[Counters]:
        return []

    @property
    def stages(self) -> Sequence[Stage]:
        return []

    def close(self, timeout: float = 5.0) -> None:
        pass

    def notices(self) -> list[tuple[str | None, str]]:
        return [(e.notice, e.reason) for e in self.events if e.kind == "notice"]


class OneLane(FairQueue[Crop]):
    """The crops of a node whose one head has no name."""

    def __init__(self, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__([""], room, clock)
        self.put, self.close = self.lanes[""].put, self.lanes[""].close


def outputs(
    announcer: Announcer, seen: Callable[[Sighting], None] = lambda _: None
) -> dict[str, HeadOutput]:
    """Those of a node whose one head has no name."""
    return {"": HeadOutput(announcer, seen)}


def document(bundle: Path, recording: Path, **more: Any) -> dict[str, Any]:
    """A configuration as `node.toml` has it: three modalities of a recorded folder."""
    source = {"url": f"folder:{recording}", "rate": 50.0}
    return {
        "name": "test",
        "model": {"bundle": str(bundle), "backend": "ort-cpu"},
        "sources": {m: dict(source) for m in MODALITIES},
        **more,
    }


def settings(bundle: Path, recording: Path, **more: Any) -> NodeSettings:
    return convert(document(bundle, recording, **more))


def another(bundle: Path, to: Path, **changes: Any) -> Path:
    """A copy of a bundle in whose manifest these values are others."""
    shutil.copytree(bundle, to)
    edit_manifest(to, lambda manifest: manifest.update(changes))
    return to


def crop(
    time: float, modalities: Sequence[Modality] = MODALITIES, size: tuple[int, int] = (64, 32)
) -> Crop:
    chance = np.random.default_rng(int(1e3 * time) % 2**32)
    images = {m: chance.integers(0, 256, (*size, 3), dtype=np.uint8) for m in modalities}
    return Crop(time, images, None, WELL)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def config_file(tmp_path: Path, bundle: Path, recording: Path, lines: Path, more: str = "") -> Path:
    sources = "".join(f'[sources.{m}]\nurl = "folder:{recording}"\nrate = 50\n' for m in MODALITIES)
    text = f'name = "a"\n[model]\nbundle = "{bundle}"\nbackend = "ort-cpu"\n{sources}'
    return written(tmp_path / "node.toml", f'{text}[events.lines]\npath = "{lines}"\n{more}')


def ignore(*_: object) -> None:
    pass


def run(
    settings_: NodeSettings, look: Callable[[NodeSnapshot], None] = ignore, **more: Any
) -> tuple[NodeSnapshot, list[Any]]:
    """Run a recording to its end; facts are looked at as often as can be."""
    said: list[str] = []
    node = Node(settings_, notify=said.append, **more)
    node.start()
    while not node.wait(0.002):
        look(node.snapshot())
    facts = node.close()
    assert node.failure == ""
    return facts, said


def balanced(facts: NodeSnapshot) -> None:
    accounts = [*facts.frames.values(), facts.triplets, facts.crops]
    assert all(account.balanced for account in accounts), facts


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def endless(bundle_path: Path, data: Path) -> NodeSettings:
    looping = document(bundle_path, data / "test")
    for source in looping["sources"].values():
        source["loop"] = True
    return convert(looping)
