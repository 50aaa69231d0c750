"""Whole runs of recordings with faults whose truth is known."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from runtime.gallery import Enrolment, GalleryError, Space, open_gallery
from runtime.node import Node, NodeSnapshot
from runtime.node.backlog import OVERFLOW, Account
from runtime.node.faults import FaultSettings, Truth
from runtime.node.head.intake import NOT_HEALTHY
from runtime.runtime import Runtime
from runtime.samples import ImageFiles, find_samples
from tests.runtime.node.parts import (
    MODALITIES,
    balanced,
    events,
    ignore,
    run,
    settings,
)

# Whole runs


def test_every_frame_of_a_recording_is_accounted_for(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    made = settings(bundle_path, data / "test", events={"lines": {"path": str(lines)}})
    truths: list[Truth] = []
    looked: list[NodeSnapshot] = []

    def look(facts: NodeSnapshot) -> None:
        looked.append(facts)
        balanced(facts)

    faults = FaultSettings(seed=1, every=6, longest=8)
    facts, _said = run(made, look, faults=faults, notify_truth=truths.append)
    balanced(facts)
    assert len(looked) > 3
    for m in MODALITIES:
        delivered = [t for t in truths if t.modality == m and t.kind != "absent"]
        account = facts.frames[m]
        assert account.entered == len(delivered)
        assert account.held == 0
    assert facts.triplets.held == facts.crops.held == 0
    assert facts.crops.entered == facts.triplets.left  # one crop for each triplet
    found = events(lines)
    assert len([e for e in found if e["kind"] == "embedding"]) == facts.crops.left
    assert len({e["id"] for e in found}) == len(found)
    assert not any("head" in e for e in found), "the one head of a node without names has none"
    assert "heads" not in facts.facts()
    assert (found[0]["notice"], found[-1]["notice"]) == ("started", "stopped")
    (counters,) = facts.events
    assert (counters.published, counters.delivered) == (len(found), len(found))
    assert {f"crop: {why}" for why in facts.crops.dropped} <= set(facts.dropped)
    assert json.loads(json.dumps(facts.facts()))["crops"]["left"] == facts.crops.left
    assert str(facts.crops.left) in "\n".join(facts.summary())


def test_a_slow_finder_costs_old_moments_and_no_frame_is_lost_unreported(
    bundle_path: Path, data: Path
) -> None:
    made = settings(bundle_path, data / "test")
    overflown = threading.Event()

    def slow(_frames: object, _time: float) -> list[tuple[int, int, int, int]]:
        overflown.wait(10.0)
        return [(0, 0, 32, 64), (500, 0, 501, 1)]

    def look(facts: NodeSnapshot) -> None:
        balanced(facts)
        if facts.triplets.dropped.get(OVERFLOW):
            overflown.set()

    facts, _said = run(made, look, persons=slow)
    balanced(facts)
    assert facts.triplets.dropped[OVERFLOW] > 0
    assert facts.crops.dropped["outside"] == facts.triplets.left
    assert facts.crops.left + facts.crops.dropped.get(OVERFLOW, 0) == facts.triplets.left


def test_when_nothing_is_healthy_the_node_says_so_and_waits(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    document_ = {"events": {"lines": {"path": str(lines)}}}
    made = settings(bundle_path, data / "test", **document_)
    faults = FaultSettings(every=1, shortest=1000, longest=1000, kinds=("black",))
    facts, said = run(made, faults=faults)
    assert facts.state is None
    assert facts.triplets.dropped[NOT_HEALTHY] == facts.triplets.entered - facts.triplets.left > 0
    assert "nothing healthy" in [e["notice"] for e in events(lines)]
    assert "nothing healthy" in facts.line(None)
    assert any(line.startswith("nothing healthy: rgb: ") for line in said)


def enrolled(path: Path, data: Path, runtime: Runtime) -> list[ImageFiles]:
    """The first four samples, who are in the gallery from then on."""
    samples = find_samples(data / "test")[:4]
    space = Space.of(runtime.bundle.manifest)
    with open_gallery(str(path), create=True) as gallery:
        gallery.enrol(
            space,
            [
                Enrolment(
                    s.name.split("_")[0], runtime.graph.state(s.files), runtime.embed(s.files)
                )
                for s in samples
            ],
        )
    return samples


def test_nobody_is_matched_by_nothing_but_being_the_most_alike(
    bundle_path: Path, scored_path: Path, data: Path, runtime: Runtime, tmp_path: Path
) -> None:
    enrolled(tmp_path / "g.db", data, runtime)
    url = f"file:{tmp_path}/g.db"
    with pytest.raises(GalleryError, match=r"nobody is matched.*calibrate.*gallery\.threshold"):
        Node(settings(bundle_path, data / "test", gallery={"url": url}), notify=ignore)
    # The bundle of the tests was measured on too few people for the usual rate.
    with pytest.raises(GalleryError, match=r"gallery\.fmr: .*scores\.json: a false-match rate"):
        Node(settings(scored_path, data / "test", gallery={"url": url}), notify=ignore)
    tracked = settings(bundle_path, data / "test", tracks={"fmr": 0.1}, boxes={"motion": {}})
    with pytest.raises(GalleryError, match=r"tracks: fmr: .*nor does the bundle carry any"):
        Node(tracked, notify=ignore)


def test_matches_go_by_the_scores_that_the_bundle_carries(
    scored_path: Path, data: Path, runtime: Runtime, tmp_path: Path
) -> None:
    enrolled(tmp_path / "g.db", data, runtime)
    lines = tmp_path / "events.jsonl"
    known = {"url": f"file:{tmp_path}/g.db", "fmr": 0.05}
    written = {"lines": {"path": str(lines)}}
    facts, _said = run(settings(scored_path, data / "test", gallery=known, events=written))
    matches = [e["match"] for e in events(lines) if e["kind"] == "embedding" and e["match"]]
    assert facts.matched == len(matches) >= 4
    assert all(0 < m["false_match_rate"] <= 0.05 for m in matches)


def test_whom_the_gallery_knows_is_told(
    bundle_path: Path, data: Path, runtime: Runtime, tmp_path: Path
) -> None:
    samples = enrolled(tmp_path / "g.db", data, runtime)
    lines = tmp_path / "events.jsonl"
    made = settings(
        bundle_path,
        data / "test",
        gallery={"url": f"file:{tmp_path}/g.db", "threshold": 0.9999},
        events={"lines": {"path": str(lines)}},
    )
    facts, _said = run(made)
    found = [e for e in events(lines) if e["kind"] == "embedding"]
    matches = [e["match"] for e in found if e["match"]]
    assert facts.matched == len(matches) >= 1
    assert all(m["cosine"] >= 0.9999 and m["false_match_rate"] is None for m in matches)
    assert {m["identity"] for m in matches} <= {s.name.split("_")[0] for s in samples}


# Signals


def test_a_node_that_never_started_lets_go_of_everything(bundle_path: Path, data: Path) -> None:
    with Node(settings(bundle_path, data / "test"), notify=ignore) as node:
        pass
    assert node.snapshot().triplets == Account()
