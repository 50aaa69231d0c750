"""What is shown of tracks: in a line, on the page, to Prometheus."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.node.backlog import Account
from runtime.node.metrics import _Collector
from runtime.node.status import HeadShown, StatusSnapshot
from runtime.node.status.view import view
from runtime.node.tracks.snapshot import TrackInView, TracksSnapshot
from tests.runtime.node.snapshots import quiet

TRACKS = TracksSnapshot(
    account=Account(9, 4, {"unconfirmed": 2, "continued": 1}, 2),
    tracks=[
        TrackInView("track-1", "anonymous-1", "Alice", 3.5, "rgb+tir", 70, 3),
        TrackInView("track-2", None, None, 0.5, "tir", 5, 0),
    ],
    embedded=11,
    identified=1,
    resumed=1,
    exchanged=2,
    returned=3,
    recents=4,
)
COUNTED: dict[str, Any] = {
    "triplets": Account(10, 10),
    "crops": Account(100, 11, {"adds nothing": 80, "unconfirmed": 9}),
}
PLAIN = quiet(**COUNTED)
FOLLOWING = quiet(**COUNTED, tracks=TRACKS)


def test_a_line_tells_how_many_there_are_and_not_what_added_nothing() -> None:
    parts = FOLLOWING.line(None).split(" | ")
    assert "2 tracks" in parts
    assert parts[-1] == "dropped track: continued 1"
    assert "tracks" not in PLAIN.line(None)


def test_the_page_lists_those_in_view() -> None:
    def on_page(head: HeadShown) -> Any:
        (shown,) = json.loads(view(StatusSnapshot("n", 0.0, [head])))["heads"]
        return shown

    shown = on_page(HeadShown("", {}, tracks=TRACKS.tracks))
    assert [t["identity"] for t in shown["tracks"]] == ["Alice", None]
    assert shown["tracks"][0]["embedded"] == 3
    assert on_page(HeadShown("", {}))["tracks"] is None


def test_prometheus_is_told_the_account_and_the_counts() -> None:
    pytest.importorskip("prometheus_client")
    families = _Collector(lambda: FOLLOWING).collect()
    samples = {
        (s.name, s.labels.get("what"), s.labels.get("reason")): s.value
        for family in families
        for s in family.samples
    }
    assert samples["denet_entered_total", "track", None] == 9
    assert samples["denet_dropped_total", "track", "continued"] == 1
    assert samples["denet_dropped_total", "crop", "adds nothing"] == 80
    assert samples["denet_held", "track", None] == 2
    assert samples["denet_tracks_exchanged_total", None, None] == 2
    assert samples["denet_tracks_recents", None, None] == 4
    names = {s.name for family in _Collector(lambda: PLAIN).collect() for s in family.samples}
    assert not any(name.startswith("denet_tracks") for name in names)
