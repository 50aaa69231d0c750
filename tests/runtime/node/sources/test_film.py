"""Video files."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.node.sources import (
    Frame,
    SourceError,
    Undecodable,
)
from runtime.node.sources.film import FilmSource
from runtime.node.sources.pace import LEAD
from tests.runtime.node.sources.parts import Clock, read, write_video


@pytest.mark.parametrize(
    ("shape", "dtype", "form"),
    [
        ((16, 24), np.uint8, "gray"),
        ((16, 24), np.uint16, "gray16le"),
        ((16, 24, 3), np.uint8, "bgr0"),
    ],
)
def test_a_video_gives_its_pixels_and_times(
    shape: tuple[int, ...],
    dtype: Any,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(0)
    images = [chance.integers(0, np.iinfo(dtype).max, shape, dtype) for _ in range(8)]
    write_video(tmp_path / "v.mkv", images, "ffv1", form)
    clock = Clock(monkeypatch)
    items = read(FilmSource("tir", tmp_path / "v.mkv"), clock)
    assert [x.time - 100 - LEAD for x in items] == pytest.approx(
        [i / 20 for i in range(8)], abs=2e-3
    )
    for item, image in zip(items, images, strict=True):
        assert isinstance(item, Frame)
        assert item.image.dtype == dtype
        assert np.array_equal(item.image, image)
    clock.now = 100.0
    looped = read(FilmSource("tir", tmp_path / "v.mkv", rate=5, loop=True), clock, most=20)
    assert [x.time - 100 - LEAD for x in looped] == pytest.approx([i / 5 for i in range(20)])
    assert [x.sequence for x in looped] == list(range(20))


def test_a_damaged_picture_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEGs cut short, as a USB camera sends them: every one is recognized."""
    av = pytest.importorskip("av")
    y, x = np.mgrid[:64, :96]
    images = [((x * 2 + y + 9 * i) % 256).astype(np.uint8) for i in range(12)]
    write_video(tmp_path / "whole.avi", images, "mjpeg", "yuvj420p")
    with (
        av.open(str(tmp_path / "whole.avi")) as reader,
        av.open(str(tmp_path / "cut.avi"), "w") as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for i, packet in enumerate(p for p in reader.demux(video=0) if p.size):
            content = bytes(packet)
            cut = av.Packet(content[: len(content) // 2] if i % 3 == 1 else content)
            cut.pts, cut.dts, cut.time_base = packet.pts, packet.dts, packet.time_base
            cut.stream = stream
            writer.mux(cut)
    items = read(FilmSource("rgb", tmp_path / "cut.avi"), Clock(monkeypatch))
    good = {round((x.time - 100 - LEAD) * 20) for x in items if isinstance(x, Frame)}
    assert good == {i for i in range(12) if i % 3 != 1}
    assert sum(isinstance(x, Undecodable) for x in items) == 4


def test_what_no_video_can_be_made_of(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "text.mkv").write_text("no video")
    with pytest.raises(SourceError, match="no such video file"):
        FilmSource("rgb", tmp_path / "absent.mkv")
    with pytest.raises(SourceError, match=r"text\.mkv: "):
        next(FilmSource("rgb", tmp_path / "text.mkv").frames(threading.Event()))
