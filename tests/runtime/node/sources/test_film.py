"""Video files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Item,
    Notice,
    SourceError,
    Undecodable,
)
from runtime.node.sources.film import JUMP, FilmSource, Timeline
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
        FilmSource("rgb", tmp_path / "text.mkv")


# Files as phones, recorders and downloads leave them


def pictures(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    chance = np.random.default_rng(seed)
    return [chance.integers(60, 90, (32, 48, 3), np.uint8) for _ in range(count)]


def write_stream(path: Path, count: int, codec: str = "libx264", **options: str) -> bytes:
    """A film of 25 pictures a second, in the container that the name says."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for image in pictures(count):
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        writer.mux(stream.encode(None))
    return path.read_bytes()


def times(items: list[Item]) -> list[float]:
    assert all(isinstance(item, Frame) for item in items)
    return [item.time - 100 - LEAD for item in items]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "mpeg4"])
def test_joined_recordings_follow_each_other(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_stream(tmp_path / "a.ts", 30, codec)
    (tmp_path / "joined.ts").write_bytes(one * 3)
    items = read(FilmSource("rgb", tmp_path / "joined.ts"), Clock(monkeypatch))
    assert times(items) == pytest.approx([i / 25 for i in range(90)], abs=2e-3)
    assert [item.position for item in items] == pytest.approx(times(items))  # type: ignore[union-attr]


def test_pictures_that_are_decoded_in_another_order_are_shown_in_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stream(tmp_path / "b.mp4", 30, bf="3", **{"x264-params": "b-adapt=0"})
    items = read(FilmSource("rgb", tmp_path / "b.mp4"), Clock(monkeypatch))
    assert times(items) == pytest.approx([i / 25 for i in range(30)], abs=2e-3)


@pytest.mark.parametrize(("pause", "kept"), [(3.0, True), (3600.0, False)])
def test_a_pause_is_kept_and_an_hour_without_pictures_is_not_waited_for(
    tmp_path: Path, pause: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "gap.mkv"), "w") as writer:
        stream = writer.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr0"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(pictures(20)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = 40 * i + int(1000 * pause) * (i >= 10), Fraction(1, 1000)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    items = read(FilmSource("rgb", tmp_path / "gap.mkv"), Clock(monkeypatch))
    found = times(items)
    assert found[9:11] == pytest.approx([0.36, 0.4 + pause * kept], abs=2e-3)
    assert np.diff(found[10:]) == pytest.approx(0.04, abs=2e-3)


@given(
    st.lists(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(0, 100).map(lambda i: i / 25)),
        max_size=30,
    )
)
def test_time_goes_on_whatever_the_stamps_are(stamps: list[float | None]) -> None:
    timeline = Timeline(0.04)
    found = [timeline.shown(stamp) for stamp in stamps]
    assert all(0 < b - a <= JUMP + 1e-6 for a, b in pairwise(found))


# The matrix of ISO/IEC 14496-12: (x, y) is shown at (a x + c y, b x + d y), shifted into view.
TURNS = {
    "none": (1, 0, 0, 1),
    "right": (0, 1, -1, 0),
    "half": (-1, 0, 0, -1),
    "left": (0, -1, 1, 0),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_picture_that_was_taken_sideways_is_shown_upright(
    tmp_path: Path, turn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(write_stream(tmp_path / "a.mp4", 5))
    (plain, *_) = read(FilmSource("rgb", tmp_path / "a.mp4"), Clock(monkeypatch))
    a, b, c, d = TURNS[turn]
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(
        ">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30
    )
    (tmp_path / "turned.mp4").write_bytes(content)
    (turned, *_) = read(FilmSource("rgb", tmp_path / "turned.mp4"), Clock(monkeypatch))
    assert isinstance(plain, Frame)
    assert isinstance(turned, Frame)
    height, width = plain.image.shape[:2]
    y, x = np.mgrid[:height, :width]
    across, down = a * x + c * y, b * x + d * y
    expected = np.zeros((height, width, 3) if a else (width, height, 3), np.uint8)
    expected[down - down.min(), across - across.min()] = plain.image
    assert np.array_equal(turned.image, expected)


def test_a_cover_is_not_taken_for_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "cover.mkv"), "w") as writer:
        cover, film = writer.add_stream("mjpeg", rate=1), writer.add_stream("ffv1", rate=20)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        film.width, film.height, film.pix_fmt = 48, 32, "bgr0"
        blank = np.zeros((64, 64, 3), np.uint8)
        writer.mux(cover.encode(av.VideoFrame.from_ndarray(blank, format="rgb24")))
        writer.mux(cover.encode(None))
        for image in pictures(8):
            writer.mux(film.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        writer.mux(film.encode(None))
    items = read(FilmSource("rgb", tmp_path / "cover.mkv"), Clock(monkeypatch))
    assert [item.image.shape for item in items if isinstance(item, Frame)] == [(32, 48, 3)] * 8


@pytest.mark.parametrize("form", ["gray10le", "gray12le", "gray14le", "gray16le", "gray16be"])
def test_grey_keeps_the_values_that_are_stored(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    av = pytest.importorskip("av")
    most = 2 ** int(form[4:6]) - 1
    values = np.random.default_rng(0).integers(0, most + 1, (32, 48), np.uint16)
    values[0, :2] = 0, most
    path = tmp_path / ("deep.mkv" if form.endswith("le") else "deep.nut")
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("ffv1" if form.endswith("le") else "rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, form
        frame = av.VideoFrame(48, 32, form)
        rows = np.zeros((32, frame.planes[0].line_size // 2), f"{'<' if 'le' in form else '>'}u2")
        rows[:, :48] = values
        frame.planes[0].update(rows.tobytes())
        frame.pts = 0
        writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    (item,) = read(FilmSource("tir", path), Clock(monkeypatch))
    assert isinstance(item, Frame)
    assert item.image.dtype == np.uint16
    assert np.array_equal(item.image, values)


def unusable(root: Path) -> Iterator[Path]:
    av = pytest.importorskip("av")
    film = write_stream(root / "whole.mp4", 20)
    for name, content in (
        ("empty.mp4", b""),
        ("cut.mp4", film[: len(film) // 2]),
        ("login.mp4", b"<!DOCTYPE html><html><body>Please log in</body></html>"),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"),
    ):
        (root / name).write_bytes(content)
        yield root / name
    with av.open(str(root / "sound.mka"), "w") as writer:
        stream = writer.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        frame.rate, frame.pts = 8000, 0
        writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    yield root / "sound.mka"


def test_a_file_that_is_no_film_is_refused_at_once(tmp_path: Path) -> None:
    for path in unusable(tmp_path):
        with pytest.raises(SourceError) as refusal:
            FilmSource("rgb", path)
        assert path.name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_film_that_is_gone_is_not_tried_again(tmp_path: Path) -> None:
    write_stream(tmp_path / "a.mp4", 3)
    source = FilmSource("rgb", tmp_path / "a.mp4", loop=True)
    (tmp_path / "a.mp4").write_bytes(b"")
    inbox = Inbox(["rgb"])
    feed = Feed(source, inbox)
    feed.start()
    assert feed.join(30)
    *_, last = inbox.take(0.0)
    assert isinstance(last, Notice)
    assert last.stage == "ended"
    assert "a.mp4: " in last.reason
