"""A whole node that follows people: from frames to events, gallery, page and metrics."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denet.folders import FOLDERS
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node import NodeError
from runtime.node.check import check_node
from runtime.node.settings import convert
from runtime.runtime import Runtime
from runtime.samples import find_samples
from tests.runtime.node.parts import balanced, document, events, ignore, run

MODALITIES = ("rgb", "nir", "tir")
FRAMES, SIZE = 24, (240, 96)


@pytest.fixture(scope="module")
def recording(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people who walk towards each other and past, before a wall with a pattern."""
    folder = tmp_path_factory.mktemp("recording")
    samples = find_samples(data / "test")
    first = samples[0].name.split("_")[0]
    people = [samples[0], next(s for s in samples if s.name.split("_")[0] != first)]
    chance = np.random.default_rng(0)
    boxes = []
    for m in MODALITIES:
        wall = chance.integers(90, 160, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        (folder / FOLDERS[m][0]).mkdir()
        crops = [Image.open(p.files[m]).convert("RGB").resize((32, 64)) for p in people]
        for i in range(FRAMES):
            frame = wall + chance.integers(0, 3, wall.shape, dtype=np.uint8)
            for crop, x in zip(crops, places(i), strict=True):
                frame[16:80, x : x + 32] = np.asarray(crop)
            Image.fromarray(frame).save(folder / FOLDERS[m][0] / f"{i:06}.png")
    for i in range(FRAMES):
        boxes.append({"name": f"{i:06}", "boxes": [[x, 16, x + 32, 80] for x in places(i)]})
    (folder / "boxes.jsonl").write_text("\n".join(json.dumps(line) for line in boxes))
    return folder


def places(i: int) -> tuple[int, int]:
    return 4 + 8 * i, 200 - 8 * i


def following(bundle: Path, recording: Path, lines: Path, **more: Any) -> dict[str, Any]:
    made = document(
        bundle,
        recording,
        boxes={"file": str(recording / "boxes.jsonl")},
        events={"lines": {"path": str(lines)}},
        **{"tracks": {}, **more},
    )
    for source in made["sources"].values():
        source["rate"] = 20.0
    return made


def test_people_are_told_as_tracks_and_every_crop_is_accounted_for(
    bundle_path: Path, recording: Path, runtime: Runtime, tmp_path: Path
) -> None:
    space = Space.of(runtime.bundle.manifest)
    frames = {
        m: np.asarray(Image.open(recording / FOLDERS[m][0] / "000000.png")) for m in MODALITIES
    }
    left = places(0)[0]
    walker = {m: frame[16:80, left : left + 32] for m, frame in frames.items()}
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        vector = runtime.embed(walker)
        gallery.enrol(space, [Enrolment("walker", runtime.graph.parse("rgb+nir+tir"), vector)])
    lines = tmp_path / "events.jsonl"
    made = convert(
        following(
            bundle_path,
            recording,
            lines,
            tracks={"every": 0.2, "crops": 1, "embeddings": True},
            gallery={"url": f"file:{tmp_path}/g.db", "threshold": 0.999},
            metrics={"port": 0},
            status={"port": 0},
        )
    )

    def look(facts: Any) -> None:
        balanced(facts)
        assert facts.tracks.account.balanced

    facts, said = run(made, look)
    balanced(facts)
    told = events(lines)
    tracks = [e["track"] for e in told if e["kind"] == "track"]
    ended = [t for t in tracks if t["change"] == "ended"]
    assert len(ended) == facts.tracks.account.left == 2, said
    assert Counter(t["change"] for t in tracks)["started"] == 2
    assert told[-1]["notice"] == "stopped"
    singles = [e for e in told if e["kind"] == "embedding"]
    assert len(singles) == facts.crops.left == facts.tracks.embedded
    assert facts.crops.entered == 2 * facts.triplets.left
    assert facts.crops.dropped["adds nothing"] > facts.crops.left
    assert facts.crops.dropped["unconfirmed"] == 2
    for track in ended:
        assert track["embedded"] < track["boxes"]
        assert len(track["crops"]) == 1
        assert track["states"] == ["rgb+nir+tir"]
        (pooled,) = track["pooled"]
        assert pooled["dim"] == runtime.dim
    matched = [e for e in told if e["kind"] == "track" and e["track"]["change"] == "identified"]
    assert {e["match"]["identity"] for e in matched} <= {"walker"}
    assert len(matched) == facts.tracks.identified == facts.matched
    assert facts.facts()["tracks"]["left"] == 2
    assert "tracks: 2 in, 2 ended" in facts.summary()
    assert "adds nothing" not in facts.line(None)


def test_without_the_section_all_is_as_before(
    bundle_path: Path, recording: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    made = following(bundle_path, recording, lines)
    del made["tracks"]
    facts, _said = run(convert(made))
    told = events(lines)
    assert {e["kind"] for e in told} == {"embedding", "notice"}
    assert all("track" not in e for e in told)
    assert "tracks" not in facts.facts()
    assert facts.crops.left + facts.crops.dropped.get("overflow", 0) == 2 * facts.triplets.left


def test_sensors_that_fail_change_the_state_and_not_the_track(
    bundle_path: Path, recording: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    made = following(bundle_path, recording, lines, tracks={"every": 0.1})
    # From the tenth frame on there is nothing but thermal infrared.
    for m in MODALITIES[:2]:
        short = tmp_path / m / FOLDERS[m][0]
        short.mkdir(parents=True)
        for i in range(10):
            (short / f"{i:06}.png").symlink_to(recording / FOLDERS[m][0] / f"{i:06}.png")
        made["sources"][m]["url"] = f"folder:{tmp_path / m}"
    facts, _said = run(convert(made))
    balanced(facts)
    ended = [
        e["track"]
        for e in events(lines)
        if e["kind"] == "track" and e["track"]["change"] == "ended"
    ]
    assert len(ended) == 2
    for track in ended:
        assert track["states"][0] == "rgb+nir+tir"
        assert track["states"][-1] == "tir"
        assert {p["state"] for p in track["pooled"]} >= {"rgb+nir+tir", "tir"}


def test_frames_that_are_crops_have_nobody_to_follow(bundle_path: Path, data: Path) -> None:
    made = convert(document(bundle_path, data / "test", tracks={}))
    with pytest.raises(NodeError, match=r"tracks: needs boxes.*boxes\.detector"):
        run(made)
    problems = check_node(made, ignore)
    assert len([p for p in problems if p.startswith("tracks: needs boxes")]) == 1


@pytest.mark.parametrize(
    ("tracks", "gallery", "said"),
    [
        ({"fmr": 0.01, "threshold": 0.5}, {}, "tracks.fmr: is of scores"),
        ({"threshold": 0.5, "scores": "s.json"}, {}, "tracks.threshold: is of cosines"),
        ({"threshold": 0.5}, {"url": "g.db", "scores": "s.json"}, "tracks.threshold: is of"),
        ({"every": 0}, {}, "tracks.every: expected"),
        ({"lost": 1e9}, {}, "tracks.lost: expected"),
        ({"recents": 10**9}, {}, "tracks.recents: expected"),
        ({"score": 2}, {}, "tracks.score: expected"),
        ({"evry": 1}, {}, "unknown key 'evry' in"),
    ],
)
def test_a_wrong_setting_is_named(
    bundle_path: Path, data: Path, tracks: dict[str, Any], gallery: dict[str, Any], said: str
) -> None:
    more = {"gallery": gallery} if gallery else {}
    with pytest.raises(NodeError, match=said):
        convert(document(bundle_path, data, tracks=tracks, **more))


def test_scores_of_another_model_are_refused_at_the_start(
    bundle_path: Path, recording: Path, tmp_path: Path
) -> None:
    from runtime.gallery.scores import scores_text
    from tests.runtime.node.tracks.parts import scores

    foreign = tmp_path / "scores.json"
    foreign.write_bytes(scores_text(scores().table))
    made = convert(
        following(bundle_path, recording, tmp_path / "e", tracks={"scores": str(foreign)})
    )
    assert any(str(foreign) in problem for problem in check_node(made, ignore))
