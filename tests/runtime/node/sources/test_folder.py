"""Recorded folders."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denet.graph import Modality
from runtime.node.sources import (
    Frame,
    Undecodable,
)
from runtime.node.sources.folder import Recording, read_pixels
from runtime.node.sources.pace import LEAD
from tests.runtime.node.sources.parts import MODALITIES, Clock, read, write_recording


def test_a_folder_is_replayed_at_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(tmp_path)
    clock = Clock(monkeypatch)
    recording = Recording(tmp_path, rate=10)
    assert recording.modalities == MODALITIES
    found = {}
    for m, source in recording.sources().items():
        clock.now = 100.0
        found[m] = read(source, clock)
    start = 100 + LEAD
    gaps: dict[Modality, int | None] = {"rgb": None, "tir": 2}
    for m, skipped in gaps.items():
        items = found[m]
        moments = [i for i in range(5) if i != skipped]
        assert [x.time for x in items] == pytest.approx([start + i / 10 for i in moments])
        assert [x.sequence for x in items] == list(range(len(moments)))
        for i, item in zip(moments, items, strict=True):
            path = tmp_path / ("RGB" if m == "rgb" else "TI") / f"{i:03}.png"
            assert isinstance(item, Frame)
            assert np.array_equal(item.image, np.asarray(Image.open(path)))
    damaged = found["nir"][3]
    assert isinstance(damaged, Undecodable)
    assert "003.png" in damaged.reason


def test_a_folder_in_a_loop_goes_on_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(tmp_path)
    clock = Clock(monkeypatch)
    items = read(Recording(tmp_path, rate=10, loop=True).source("tir"), clock, most=12)
    assert [round(10 * (x.time - 100 - LEAD)) for x in items] == [
        i for i in range(15) if i % 5 != 2
    ]


def test_a_consumer_that_is_too_slow_gets_fewer_frames_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(tmp_path)
    clock = Clock(monkeypatch)
    source = Recording(tmp_path, rate=10, loop=True).source("rgb")
    for item in itertools.islice(source.frames(clock), 20):  # type: ignore[arg-type]
        assert clock.now - item.time <= 0.1 + 1e-9
        clock.now += 0.35
    assert source.skipped > 40


def test_pixels_keep_their_depth(tmp_path: Path) -> None:
    deep = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_pixels(tmp_path / "deep.png"), deep)
    Image.fromarray(deep.astype(np.uint8)).convert("P").save(tmp_path / "palette.png")
    assert read_pixels(tmp_path / "palette.png").shape == (6, 8, 3)
