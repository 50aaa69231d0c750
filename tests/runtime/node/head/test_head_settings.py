"""What `[[heads]]` may say, and what a head takes over from the node's sections."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.node import NodeError
from runtime.node.settings import convert

SOURCE = {"url": "folder:x", "rate": 1.0}


def document(*heads: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "gate", "model": {"bundle": "b"}, "heads": list(heads), **more}


def head(name: object = "east", **more: Any) -> dict[str, Any]:
    return {"name": name, "sources": {"rgb": dict(SOURCE), "tir": dict(SOURCE)}, **more}


def test_a_node_without_heads_has_one_without_a_name() -> None:
    made = convert({"name": "gate", "model": {"bundle": "b"}, "sources": {"tir": SOURCE}})
    (only,) = made.camera_heads
    assert (only.name, list(only.sources)) == ("", ["tir"])
    assert only.key("boxes.file") == "boxes.file"


def test_what_a_head_does_not_say_is_as_the_node_says() -> None:
    made = convert(
        document(
            head(),
            head(
                "west",
                timing={"patience": 0.5},
                health={"tir": {"stale_after": 2.0}},
                boxes={"file": "w.jsonl"},
                tracks={"crops": 2},
            ),
            {"name": "dark", "sources": {"tir": dict(SOURCE)}},
            timing={"tolerance": 0.04},
            health={"rgb": {"colour": "any"}, "tir": {"recovery_frames": 9}},
            boxes={"motion": {}},
            tracks={"every": 3.0},
        )
    )
    east, west, dark = made.camera_heads
    assert [h.name for h in made.camera_heads] == ["east", "west", "dark"]
    assert {h.timing.tolerance for h in (east, west)} == {0.04}
    assert (east.timing.patience, west.timing.patience) == (0.2, 0.5)
    assert east.health["rgb"].colour == west.health["rgb"].colour == "any"
    assert (west.health["tir"].recovery_frames, west.health["tir"].stale_after) == (9, 2.0)
    assert list(dark.health) == ["tir"]
    assert east.boxes.finders == dark.boxes.finders == ["motion"]
    assert west.boxes.finders == ["file"], "of boxes all is a head's own"
    assert west.tracks is not None
    assert (west.tracks.every, west.tracks.crops) == (3.0, 2)
    assert west.key("boxes.file") == "heads.west.boxes.file"


def test_a_range_is_of_a_head() -> None:
    warm = {"rgb": SOURCE, "tir": {**SOURCE, "range": [7000, 9000]}}
    made = convert(document(head(sources=warm), head("west")))
    assert made.ranges == {}
    assert [h.ranges for h in made.camera_heads] == [{"tir": (7000, 9000)}, {}]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (document(head(), head()), "heads.east: two heads have this name"),
        (document(head("a/b")), "heads.a/b.name: 'a/b': take letters"),
        (document({"sources": {"rgb": SOURCE}}), "heads[0].name: None"),
        (
            document({"name": "east"}),
            "heads.east.sources: none is given: write [heads.sources.rgb]",
        ),
        (document(head(), sources={"rgb": SOURCE}), "sources: belong to each of [[heads]]"),
        (document(head(colour="any")), "unknown key 'colour' in [heads.east]"),
        (document(head(sources={"uv": SOURCE})), "unknown key 'uv' in [heads.east.sources]"),
        (document(head(sources={"rgb": {"url": 3}})), "heads.east.sources.rgb.url: "),
        (document(head(), health={"nir": {}}), "health.nir: no head has [heads.sources.nir]"),
        (document(head(health={"nir": {}})), "heads.east.health.nir: there is no"),
        (document(head(boxes={"file": "f", "motion": {}})), "heads.east.boxes: file and motion"),
        (document(head(tracks={"every": -1})), "heads.east.tracks.every: "),
        (
            document(head(tracks={"fmr": 0.1, "threshold": 0.5})),
            "heads.east.tracks.fmr: is of scores",
        ),
        ({**document(), "heads": "east"}, "heads: expected `array`"),
        (document("east"), "heads[0]: expected `object`"),  # type: ignore[arg-type]
        (document(), "sources: none is given"),
    ],
)
def test_what_is_wrong_is_told_with_the_head(given: Any, words: str) -> None:
    with pytest.raises(NodeError) as error:
        convert(given)
    assert str(error.value).startswith(words)
