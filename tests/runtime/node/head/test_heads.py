"""A node of several heads: one runtime, one link, and each head's own accounts and troubles."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.node import Node, NodeError, NodeSnapshot
from runtime.node.boxes.cropping import brought_to_8_bits
from runtime.node.check import check_node
from runtime.node.settings import NodeSettings, convert
from runtime.node.watchdog import StageSnapshot
from runtime.preprocess import Preprocessor
from runtime.runtime import Runtime
from runtime.samples import find_samples
from tests.runtime.node.parts import MODALITIES, balanced, events, ignore, run
from tests.runtime.node.snapshots import QUIET, QUIET_HEAD
from tests.runtime.node.waiting import until


def configured(
    bundle: Path, heads: Mapping[str, Path], rate: float = 50.0, **more: Any
) -> NodeSettings:
    loop = more.pop("loop", False)
    own = more.pop("own", {})

    def source(folder: Path) -> dict[str, Any]:
        return {"url": f"folder:{folder}", "rate": rate, "loop": loop}

    return convert(
        {
            "name": "gate",
            "model": {"bundle": str(bundle), "backend": "ort-cpu"},
            "heads": [
                {
                    "name": name,
                    "sources": {m: source(folder) for m in MODALITIES},
                    **own.get(name, {}),
                }
                for name, folder in heads.items()
            ],
            **more,
        }
    )


def head_balanced(snapshot: NodeSnapshot) -> None:
    balanced(snapshot)
    for head in snapshot.heads:
        accounts = [*head.frames.values(), head.triplets, head.crops]
        assert all(account.balanced for account in accounts), head


def test_heads_share_the_engines_and_each_tells_its_own(
    bundle_path: Path, data: Path, runtime: Runtime, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    recording = data / "test"
    made = configured(
        bundle_path,
        {"east": recording, "west": recording},
        events={"lines": {"path": str(lines)}, "embedding": "float32"},
        batches={"waiting": 1000, "deadline": 5.0},
    )
    facts, said = run(made, head_balanced)
    head_balanced(facts)
    told = events(lines)
    of_people = [e for e in told if e["kind"] == "embedding"]
    counts = {head.name: head.crops.left for head in facts.heads}
    assert set(counts) == {"east", "west"}
    assert min(counts.values()) > 0
    for name, count in counts.items():
        assert sum(e["head"] == name for e in of_people) == count
    assert facts.crops.left == sum(counts.values())
    assert facts.batches < facts.crops.left / 2, "crops of both share batches"
    # Each embedding is that of somebody in the recording, in the state that is told.
    samples = find_samples(recording)
    known = {
        state: np.stack([runtime.embed({m: s.files[m] for m in state.available}) for s in samples])
        for state in {runtime.graph.parse(e["state"]) for e in of_people}
    }
    for e in of_people:
        found = np.frombuffer(_bytes(e), "<f4")
        assert (known[runtime.graph.parse(e["state"])] @ found).max() == pytest.approx(1, abs=1e-4)
    of_node = {e["notice"] for e in told if "head" not in e}
    assert of_node == {"started", "stopped"}
    heads = {e["head"] for e in told if e["notice"] == "sensor lost"}
    assert heads <= {"east", "west"}
    shown = json.loads(json.dumps(facts.facts()))
    assert shown["heads"]["east"]["crops"]["left"] == counts["east"]
    assert shown["crops"]["left"] == facts.crops.left
    assert any(line.startswith("east: crops: ") for line in facts.summary())
    assert " | east rgb" in facts.line(None)
    assert any(line.startswith("west: ") for line in said)


def _bytes(event: dict[str, Any]) -> bytes:
    import base64

    return base64.b64decode(event["embedding"]["data"])


def test_a_head_that_dies_costs_the_others_nothing(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("prometheus_client")
    lines = tmp_path / "events.jsonl"
    made = configured(
        bundle_path,
        {"east": data / "test", "west": data / "test"},
        10.0,
        loop=True,
        events={"lines": {"path": str(lines)}},
        metrics={"port": 0},
        status={"port": 0},
    )
    node = Node(made, notify=ignore)
    east, west = node._heads
    assert east._run is not None
    first = east._run
    east._backoff.next = lambda: 0.5  # type: ignore[method-assign]
    first._intake._judge = defect  # type: ignore[method-assign]
    node.start()
    until(lambda: east.snapshot().failures)
    taken = node.snapshot()
    assert taken.heads[0].lost
    assert not taken.stuck
    with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics.port}/metrics") as answer:
        text = answer.read().decode()
    assert 'denet_head_lost{head="east"} 1.0' in text
    assert 'denet_head_lost{head="west"} 0.0' in text
    assert 'denet_head_failures_total{head="east"} 1.0' in text
    assert 'denet_entered_total{head="west",modality="rgb",what="frame"}' in text
    with urllib.request.urlopen(f"{node.status_url}snapshot") as answer:
        shown = {head["name"]: head for head in json.load(answer)["heads"]}
    assert "on purpose" in shown["east"]["lost"]
    assert shown["west"]["lost"] == ""
    before = west.snapshot().crops.left
    # The other goes on, and this one is begun anew.
    until(lambda: west.snapshot().crops.left > before)
    until(lambda: east._run not in (None, first))
    until(lambda: east.snapshot().crops.left > 0)
    until(lambda: (head_balanced(node.snapshot()), "sensors" in str(node.snapshot().facts()))[1])
    with urllib.request.urlopen(f"{node.status_url}east/rgb.jpg") as answer:
        assert answer.read(2) == b"\xff\xd8"
    end = node.close()
    assert node.failure == ""
    head_balanced(end)
    assert all(head.crops.held == head.triplets.held == 0 for head in end.heads)
    told = events(lines)
    lost = [(e["notice"], e.get("head")) for e in told if e["notice"] == "head lost"]
    assert lost == [("head lost", "east")]
    assert "stage failed" in {e["notice"] for e in told}
    assert (told[-1]["notice"], told[-1]["reason"]) == ("stopped", "it was asked to")


def defect(*_: object) -> None:
    raise ZeroDivisionError("on purpose")


def test_a_function_finds_persons_for_each_head(bundle_path: Path, data: Path) -> None:
    made = configured(bundle_path, {"east": data / "test", "west": data / "test"})
    persons = {"east": lambda _frames, _time: [(0, 0, 20, 40)] * 2, "west": lambda *_: []}
    with pytest.raises(NodeError, match="persons: there is no head 'north', but east, west"):
        Node(made, persons={"north": persons["east"]}, notify=ignore)
    facts, _said = run(made, persons=persons)
    east, west = facts.heads
    assert east.crops.entered == 2 * east.triplets.left > 0
    assert west.crops.entered == 0
    assert west.triplets.left > 0


def test_a_range_of_a_head_gives_what_the_engines_make_of_it(runtime: Runtime) -> None:
    image = np.random.default_rng(0).integers(6900, 9100, (64, 32), dtype=np.uint16)
    plain = Preprocessor(runtime.bundle.manifest.preprocessing)
    ranged = Preprocessor(runtime.bundle.manifest.preprocessing, {"tir": (7000, 9000)})
    brought = brought_to_8_bits({"tir": image, "rgb": image}, {"tir": (7000, 9000)})
    np.testing.assert_array_equal(plain(brought["tir"], "tir"), ranged(image, "tir"))
    assert brought["rgb"] is image


def test_a_check_tries_each_head_and_names_it(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    nobody = tmp_path / "nobody.jsonl"
    nobody.write_text('{"name": "none", "boxes": [[0, 0, 10, 20]]}\n')
    heads = {"east": data / "test", "west": data / "test"}
    said: list[str] = []
    assert check_node(configured(bundle_path, heads), said.append) == []
    assert sum(line.startswith("heads.east: trial: ") for line in said) >= 1
    assert "heads.west.sources.tir" in said
    own = {"west": {"boxes": {"file": str(nobody)}}}
    (problem,) = check_node(configured(bundle_path, heads, own=own), ignore)
    assert problem.startswith("heads.west: boxes: nobody was found")
    own = {"west": {"boxes": {"file": str(tmp_path / "no.jsonl")}, "tracks": {}}}
    (problem,) = check_node(configured(bundle_path, heads, own=own), ignore)
    assert problem.startswith("heads.west.boxes: ")


def test_a_node_is_stuck_where_all_of_it_or_every_head_is() -> None:
    heads = [replace(QUIET_HEAD, name=name) for name in ("east", "west")]
    stages = {name: StageSnapshot(True, 0, "", name) for name in ("east", "west")}
    well = StageSnapshot(False, 0, "")

    def stuck(**found: StageSnapshot) -> bool:
        return replace(QUIET, heads=heads, stages={"engines": well, **found}).stuck

    assert not stuck(east=stages["east"])
    assert stuck(**stages)
    assert stuck(engines=StageSnapshot(True, 0, ""))
