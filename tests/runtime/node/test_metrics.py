"""What Prometheus and the status page are told of a node that runs."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from denet.graph import RGB_NIR_TIR
from runtime.node import Node, NodeError
from runtime.node.metrics import Metrics
from runtime.node.settings import MetricsSettings
from tests.runtime.node.parts import (
    MODALITIES,
    ignore,
    settings,
)


def test_metrics_and_page_say_what_the_facts_say(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("prometheus_client")
    made = settings(
        bundle_path,
        data / "test",
        metrics={"port": 0},
        status={"port": 0},
        events={"lines": {"path": str(tmp_path / "events.jsonl")}},
    )
    node = Node(made, notify=ignore)
    node.start()
    while not node.wait(0.01):
        node.snapshot()
    facts = node.snapshot()
    with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics.port}/metrics") as answer:
        text = answer.read().decode()
    assert node._page is not None
    shown = node._page.snapshot
    with pytest.raises(NodeError, match="already in use"):
        Metrics(MetricsSettings(port=node.metrics.port), node.snapshot)
    node.close()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    for m in MODALITIES:
        name = f'denet_entered_total{{modality="{m}",what="frame"}}'
        assert float(lines[name]) == facts.frames[m].entered
        assert float(lines[f'denet_healthy{{modality="{m}"}}']) in (0, 1)
    assert float(lines['denet_left_total{modality="",what="crop"}']) == facts.crops.left
    assert float(lines["denet_latency_seconds_count"]) == facts.crops.left
    assert float(lines['denet_latency_seconds_bucket{le="+Inf"}']) == facts.crops.left
    published = float(lines['denet_events_published_total{sink="lines"}'])
    assert published >= facts.crops.left + 1
    assert shown is not None
    assert shown.counters["embeddings"] == facts.crops.left
    (head,) = shown.heads
    assert set(head.frames) == set(MODALITIES)
    assert head.state is not None
    assert list(head.plan) == list(RGB_NIR_TIR.plan(head.state).engines)
