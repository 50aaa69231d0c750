"""Recordings without a clock: every frame, and the same each time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denet.graph import Modality
from runtime.node.sources import SourceSettings, Synchronizer, TrackTiming, open_sources
from runtime.node.sources.replay import BEGIN, FixedStart, loose_timing, replayed

FOLDERS: dict[Modality, str] = {"rgb": "RGB", "tir": "TI"}


def recorded(folder: Path, there: dict[Modality, range | list[int]]) -> Path:
    for m, numbers in there.items():
        (folder / FOLDERS[m]).mkdir(parents=True)
        for number in numbers:
            image = np.full((8, 8), number, np.uint8)
            Image.fromarray(image).save(folder / FOLDERS[m] / f"{number:03}.png")
    return folder


def triplets(folder: Path) -> list[tuple[float, list[str]]]:
    settings = {m: SourceSettings(url=f"folder:{folder}", rate=10.0) for m in FOLDERS}
    sources = open_sources(settings, FixedStart())
    synchronizer = Synchronizer(sources, TrackTiming())
    found = [(t.time - BEGIN, list(t.frames)) for t, _ in replayed(sources, synchronizer)]
    assert not synchronizer.dropped
    return found


def test_every_frame_is_in_one_moment(tmp_path: Path) -> None:
    found = triplets(recorded(tmp_path, {"rgb": range(20), "tir": range(20)}))
    assert [time for time, _ in found] == pytest.approx([i / 10 for i in range(20)], abs=1e-6)
    assert all(frames == ["rgb", "tir"] for _, frames in found)


def test_a_sensor_that_is_back_is_in_the_moment_of_its_return(tmp_path: Path) -> None:
    """It was silent, and nobody waited for it any more."""
    away = [i for i in range(30) if not 8 <= i < 20]
    found = triplets(recorded(tmp_path, {"rgb": range(30), "tir": away}))
    assert len(found) == 30
    assert Counter(len(frames) for _, frames in found) == {2: 18, 1: 12}


def test_times_are_the_same_to_the_bit(tmp_path: Path) -> None:
    folder = recorded(tmp_path, {"rgb": range(7), "tir": range(7)})
    assert triplets(folder) == triplets(folder)


def test_the_slowest_says_how_far_frames_may_be_apart(tmp_path: Path) -> None:
    recorded(tmp_path, {"rgb": range(2), "tir": range(2)})
    settings = {
        "rgb": SourceSettings(url=f"folder:{tmp_path}", rate=25.0),
        "tir": SourceSettings(url=f"folder:{tmp_path}", rate=8.0),
    }
    assert loose_timing(open_sources(settings).values()).tolerance == pytest.approx(1 / 16)
