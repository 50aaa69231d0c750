"""Sources: recordings and streams against what was written into them, the synchronizer against
brute force, and RTSP against a real server that is killed, frozen and restarted."""

from __future__ import annotations

import importlib
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from denet.graph import MODALITIES, Modality
from runtime.node.health import Health, Verdict
from runtime.node.sources import (
    Feed,
    Frame,
    Inbox,
    Item,
    Notice,
    Source,
    SourceError,
    SourceSettings,
    Synchronizer,
    Timing,
    Triplet,
    Undecodable,
    film,
    folder,
    open_source,
    open_sources,
    pace,
)
from runtime.node.sources.backoff import Backoff
from runtime.node.sources.clock import StreamClock
from runtime.node.sources.film import FilmSource
from runtime.node.sources.folder import Recording, read_pixels
from runtime.node.sources.gstreamer import GStreamerSource
from runtime.node.sources.pace import LEAD
from runtime.node.sources.secrets import redacted
from tests.rtsp import RtspCamera, system_python

PIXEL = np.zeros((1, 1), np.uint8)

TICK = 0.04


def frame(modality: Modality, at: float, number: int = 0) -> Frame:
    return Frame(modality, at, PIXEL, number)


class Clock:
    """A clock and a stop that wait without time going by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        fake = SimpleNamespace(monotonic=lambda: self.now)
        for module in (folder, film, pace):
            monkeypatch.setattr(module, "time", fake)

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def is_set(self) -> bool:
        return False


def read(source: Source, clock: Clock, most: int = 10_000) -> list[Item]:
    return list(itertools.islice(source.frames(clock), most))  # type: ignore[arg-type]


# Secrets, waits, clocks


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:pass@10.0.0.1:554/s", "rtsp://***@10.0.0.1:554/s"),
        ("rtsp://admin:p@ss@cam/live", "rtsp://***@cam/live"),
        ("cannot open 'rtsp://u:p@cam': refused", "cannot open 'rtsp://***@cam': refused"),
        ("RTSPS://u:p/q@[::1]/a", "RTSPS://***@[::1]/a"),
        ("rtsp://u:a b'c\"d@cam/live: no data", "rtsp://***@cam/live: no data"),
        ("rtsp://u:p@a/1 and rtsp://u:p@b/2", "rtsp://***@a/1 and rtsp://***@b/2"),
        ("rtsp://cam/a\nsays me@home", "rtsp://cam/a\nsays me@home"),
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtspsrc location=rtsp://u:p@cam ! x", "rtspsrc location=rtsp://***@cam ! x"),
    ],
)
def test_no_password_is_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_settings_and_sources_hide_the_password() -> None:
    pytest.importorskip("av")
    wanted = SourceSettings(url="rtsp://me:secret@127.0.0.1:1/live", timeout=0.5)
    source = open_source("rgb", wanted)
    with pytest.raises(SourceError, match="refused") as caught:
        next(source.frames(threading.Event()))
    assert "secret" not in f"{wanted!r} {source.name} {caught.value}"


def test_waits_double_up_to_a_ceiling_and_never_end() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(0))
    waits = [backoff.next() for _ in range(5000)]
    for tries, wait in enumerate(waits):
        longest = min(0.5 * 2.0 ** min(tries, 100), 30.0)
        assert longest / 2 <= wait <= longest
    assert len(set(waits[100:])) > 1000
    backoff.reset()
    assert backoff.next() <= 0.5


@given(
    delays=st.lists(st.floats(0, 0.3), min_size=2, max_size=200),
    offset=st.floats(-1e5, 1e5),
)
def test_capture_times_are_even_and_never_in_the_future(delays: list[float], offset: float) -> None:
    clock = StreamClock()
    arrivals = list(itertools.accumulate((1e5 + i * TICK + d for i, d in enumerate(delays)), max))
    delays = [at - 1e5 - i * TICK for i, at in enumerate(arrivals)]
    times = [clock.time(offset + i * TICK, at) for i, at in enumerate(arrivals)]
    for i, (captured, arrival) in enumerate(zip(times, arrivals, strict=True)):
        assert captured <= arrival + 1e-9
        # As late as the least delay so far, give or take what clocks drift.
        drift = 2e-4 * (arrivals[i] - arrivals[0]) + 1e-6
        assert abs(captured - (1e5 + i * TICK + min(delays[: i + 1]))) <= drift


def test_a_stream_that_falls_behind_grows_old_and_one_that_restarts_does_not() -> None:
    clock = StreamClock(delay=0.1)
    for i in range(100):
        clock.time(i * TICK, 50 + i * TICK)
    assert clock.time(100 * TICK, 54 + 3.0) == pytest.approx(53.9, abs=0.01)
    assert clock.time(0.0, 60.0) == pytest.approx(59.9)  # a new beginning
    assert clock.time(None, 61.0) == pytest.approx(60.9)


# Recorded folders


def write_recording(root: Path) -> None:
    chance = np.random.default_rng(0)
    for name, shape in (("RGB", (8, 6, 3)), ("NI", (8, 6)), ("TI", (8, 6))):
        (root / name).mkdir(parents=True)
        for i in range(5):
            if (name, i) == ("TI", 2):
                continue
            pixels = chance.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:03}.png")
    (root / "NI" / "003.png").write_bytes(b"no image")


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


# Video files


def write_video(
    path: Path, images: list[NDArray[Any]], codec: str, form: str, rate: int = 20
) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = form
        for image in images:
            kind = {2: "gray16le" if image.dtype == np.uint16 else "gray", 3: "rgb24"}[image.ndim]
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=kind)))
        writer.mux(stream.encode(None))


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


# Settings


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (SourceSettings(url="camera"), "is no source"),
        (SourceSettings(url="ftp://cam"), "no kind of source 'ftp'"),
        (SourceSettings(url="folder:/nowhere"), "give a rate"),
        (SourceSettings(url="folder:/nowhere", rate=5), "/nowhere: there is no such folder"),
        (SourceSettings(url="file:/nowhere.mp4"), r"/nowhere\.mp4: there is no such"),
        (SourceSettings(url="rtsp://u:secret@cam/", rate=5), r"\*\*\*@cam/: a camera has its own"),
    ],
)
def test_a_wrong_setting_is_named(wanted: SourceSettings, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        open_source("rgb", wanted)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_named() -> None:
    pytest.importorskip("av")
    source = open_source("tir", SourceSettings(url="v4l2:/dev/video99"))
    with pytest.raises(SourceError, match="/dev/video99"):
        next(source.frames(threading.Event()))


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, _package: str | None = None) -> Any:
        raise ImportError(f"no module named {name}")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(SourceError, match=r"PyAV.*pip install '\.\[node\]'"):
        open_source("rgb", SourceSettings(url="rtsp://cam/"))
    with pytest.raises(SourceError, match=r"PyGObject.*apt install python3-gi"):
        open_source("rgb", SourceSettings(url="gst:videotestsrc"))


def test_recordings_begin_together(tmp_path: Path) -> None:
    write_recording(tmp_path)
    wanted = SourceSettings(url=f"folder:{tmp_path}", rate=200)
    sources = open_sources(dict.fromkeys(MODALITIES, wanted))
    inbox = Inbox(sources, depth=100)
    feeds = [Feed(source, inbox) for source in sources.values()]
    for feed in feeds:
        feed.start()
    assert all(feed.join(20) for feed in feeds)
    items = inbox.take(0)
    firsts = {x.time for x in items if isinstance(x, Frame) and x.sequence == 0}
    assert len(firsts) == 1
    ended = [x.modality for x in items if isinstance(x, Notice) and x.stage == "ended"]
    assert sorted(ended) == sorted(MODALITIES)


# Threads


def test_the_newest_frames_win_and_the_others_are_counted() -> None:
    inbox = Inbox(["rgb", "tir"], depth=3)
    inbox.put(frame("tir", 5.5))
    for i in range(10):
        inbox.put(frame("rgb", float(i), i))
    inbox.tell(Notice("rgb", 0.0, "lost", ""))
    notice, *frames = inbox.take(0)
    assert isinstance(notice, Notice)
    assert [x.time for x in frames] == [5.5, 7.0, 8.0, 9.0]
    assert inbox.received == {"rgb": 10, "tir": 1}
    assert inbox.overrun == {"rgb": 7, "tir": 0}
    assert inbox.take(0) == []


class Scripted(Source):
    """Runs one function of a list at each connection, the last for ever."""

    def __init__(
        self,
        modality: Modality,
        *connections: Callable[[Scripted], Iterator[Item]],
        live: bool = True,
    ) -> None:
        super().__init__(modality, "scripted", live=live)
        self.connections = list(connections)

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        connect = self.connections.pop(0) if len(self.connections) > 1 else self.connections[0]
        yield from connect(self)


def gives(count: int) -> Callable[[Scripted], Iterator[Item]]:
    return lambda source: (source.frame(time.monotonic(), PIXEL) for _ in range(count))


def fails(error: Exception) -> Callable[[Scripted], Iterator[Item]]:
    def connect(source: Scripted) -> Iterator[Item]:
        raise error
        yield

    return connect


def collect(inbox: Inbox, enough: Callable[[list[Any]], bool]) -> list[Any]:
    found: list[Any] = []
    end = time.monotonic() + 30
    while not enough(found) and time.monotonic() < end:
        found += inbox.take(0.05)
    assert enough(found), found
    return found


def test_a_lost_source_is_tried_again_for_ever_whatever_it_dies_of() -> None:
    source = Scripted(
        "rgb",
        fails(SourceError("cam: refused")),
        gives(2),
        fails(ZeroDivisionError("a bug")),
        fails(SourceError("cam: refused again")),
        gives(3),
    )
    inbox = Inbox(["rgb"], depth=100)
    feed = Feed(source, inbox, Backoff(0.001, 0.01))
    feed.start()
    found = collect(inbox, lambda x: sum(isinstance(i, Frame) for i in x) >= 8)
    feed.stop()
    assert feed.join(10)
    reasons = [i.reason for i in found if isinstance(i, Notice) and i.stage == "lost"]
    for reason, words in zip(
        reasons,
        ("cam: refused", "the stream ended", "ZeroDivisionError: a bug", "refused again", "ended"),
        strict=False,
    ):
        assert words in reason
        assert "next try in" in reason
    numbers = [i.sequence for i in found if isinstance(i, Frame)]
    assert numbers == list(range(len(numbers)))


def test_a_recording_ends_and_is_not_tried_again() -> None:
    inbox = Inbox(["rgb"])
    feed = Feed(Scripted("rgb", gives(2), live=False), inbox)
    feed.start()
    assert feed.join(10)
    stages = [x.stage for x in inbox.take(0) if isinstance(x, Notice)]
    assert stages == ["opening", "running", "ended"]


def test_a_source_that_blocks_blocks_nobody_else() -> None:
    release = threading.Event()

    def blocks(source: Scripted) -> Iterator[Item]:
        release.wait()
        yield from gives(1)(source)

    def forever(source: Scripted) -> Iterator[Item]:
        while True:
            yield source.frame(time.monotonic(), PIXEL)
            time.sleep(0.001)

    inbox = Inbox(["rgb", "tir"])
    feeds = [Feed(Scripted("rgb", blocks), inbox), Feed(Scripted("tir", forever), inbox)]
    for feed in feeds:
        feed.start()
    collect(inbox, lambda x: sum(isinstance(i, Frame) for i in x) >= 50)
    for feed in feeds:
        feed.stop()
    assert feeds[1].join(10)
    assert not feeds[0].join(0.01)  # stuck, and a daemon
    release.set()
    assert feeds[0].join(10)


def test_from_files_to_triplets_every_frame_is_accounted_for(tmp_path: Path) -> None:
    """In real threads, however slow the machine: in = skipped + overrun + dropped + used."""
    for name in ("RGB", "TI"):
        (tmp_path / name).mkdir()
        for i in range(60):
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / name / f"{i:03}.png")
    recording = Recording(tmp_path, rate=200)
    sources = recording.sources()
    inbox, synchronizer = Inbox(sources), Synchronizer(sources, Timing(tolerance=0.002))
    feeds = [Feed(source, inbox) for source in sources.values()]
    for feed in feeds:
        feed.start()
    ended, triplets = 0, []
    while ended < 2:
        for item in inbox.take(1.0):
            if isinstance(item, Notice):
                ended += item.stage == "ended"
            else:
                synchronizer.push(item, time.monotonic())
        triplets += synchronizer.poll(time.monotonic())
    for item in inbox.take(0):
        assert not isinstance(item, Notice)
        synchronizer.push(item, time.monotonic())
    triplets += synchronizer.flush(time.monotonic())
    for m, source in sources.items():
        assert source.skipped + inbox.received[m] == 60
        assert inbox.received[m] == inbox.overrun[m] + synchronizer.received[m]
        dropped = sum(n for (which, _), n in synchronizer.dropped.items() if which == m)
        assert synchronizer.received[m] == synchronizer.used[m] + dropped
    for triplet in triplets:
        assert len({int(x.image[0, 0]) for x in triplet.frames.values()}) <= 1  # type: ignore[union-attr]


# The synchronizer


@dataclass
class Run:
    """What a synchronizer makes of frames that arrive at given times."""

    timing: Timing
    arrivals: dict[Modality, list[tuple[float, float]]]  # capture, arrival
    given: list[tuple[float, Triplet]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.synchronizer = Synchronizer(self.arrivals, self.timing)
        events = sorted(
            (
                (at, m, captured, i)
                for m, x in self.arrivals.items()
                for i, (captured, at) in enumerate(x)
            )
        )
        for at, m, captured, i in events:
            self.synchronizer.push(frame(m, captured, i), at)
            self.take(at, self.synchronizer.poll(at))
            self.check()
        end = (events[-1][0] if events else 0.0) + 100
        self.take(end, self.synchronizer.flush(end))
        self.check()
        assert not any(self.synchronizer.held.values())

    def take(self, now: float, triplets: list[Triplet]) -> None:
        self.given += [(now, t) for t in triplets if t.frames]

    def check(self) -> None:
        """In = out + dropped + held."""
        s = self.synchronizer
        for m in self.arrivals:
            lost = sum(count for (which, _), count in s.dropped.items() if which == m)
            assert s.received[m] == s.used[m] + lost + s.held[m]

    @property
    def states(self) -> Counter[str]:
        return Counter("+".join(t.frames) for _, t in self.given)

    @property
    def kinds(self) -> Counter[tuple[str, str]]:
        return Counter((m, a.kind) for _, t in self.given for m, a in t.absent.items())


def steady(
    period: float, phase: float = 0.0, delay: float = 0.02, lost: Any = (), seconds: float = 8.0
) -> list[tuple[float, float]]:
    times = (phase + i * period for i in range(int(seconds / period)) if i not in lost)
    return [(t, t + delay) for t in times]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_frame_is_in_one_place_whatever_comes(data: st.DataObject) -> None:
    moments = st.lists(st.tuples(st.floats(0, 2), st.floats(-0.05, 0.5)), min_size=0, max_size=25)
    chosen = data.draw(st.sets(st.sampled_from(MODALITIES), min_size=1))
    timing = Timing(
        tolerance=data.draw(st.floats(0.001, 0.1)), patience=data.draw(st.floats(0.01, 0.5))
    )
    run = Run(
        timing, {m: [(t, t + d) for t, d in data.draw(moments)] for m in MODALITIES if m in chosen}
    )
    seen: set[tuple[str, int]] = set()
    last = float("-inf")
    for _, triplet in run.given:
        times = {m: x.time for m, x in triplet.frames.items()}
        assert all(abs(t - triplet.time) <= timing.tolerance for t in times.values())
        assert triplet.time >= last
        last = triplet.time
        new = {(m, x.sequence) for m, x in triplet.frames.items()} - seen
        assert new  # no triplet without a frame that is in no other
        seen |= new
        assert set(triplet.frames) | set(triplet.absent) == chosen
        assert not set(triplet.frames) & set(triplet.absent)
    used = Counter(m for m, _ in seen)
    assert all(used[m] == run.synchronizer.used[m] for m in chosen)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_sensors_in_step_are_matched_as_brute_force_matches_them(data: st.DataObject) -> None:
    """All frames there, in any order of arrival: the triplets are all sets within the tolerance."""
    timing = Timing(tolerance=0.015, patience=0.2)
    count = data.draw(st.integers(1, 30))
    arrivals: dict[Modality, list[tuple[float, float]]] = {}
    for m in MODALITIES:
        off = data.draw(st.floats(0, 0.005))
        delay = data.draw(st.floats(0, 0.1))
        pairs = []
        for i in range(count):
            t = i * TICK + off + data.draw(st.floats(0, 0.002))
            pairs.append((t, t + delay + data.draw(st.floats(0, 0.02))))
        # One camera's frames arrive in their order.
        ordered = itertools.accumulate((at for _, at in pairs), max)
        arrivals[m] = [(t, at) for (t, _), at in zip(pairs, ordered, strict=True)]
    expected = [
        combination
        for combination in itertools.product(*([t for t, _ in x] for x in arrivals.values()))
        if max(combination) - min(combination) <= timing.tolerance
    ]
    run = Run(timing, arrivals)
    assert [tuple(x.time for x in t.frames.values()) for _, t in run.given] == sorted(expected)
    assert not run.synchronizer.dropped


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_lost_frames_cost_themselves_alone(data: st.DataObject) -> None:
    timing = Timing()
    kept = {m: data.draw(st.lists(st.booleans(), min_size=20, max_size=20)) for m in MODALITIES}
    arrivals = {
        m: [(i * TICK, i * TICK + 0.01) for i in range(20) if kept[m][i]] for m in MODALITIES
    }
    run = Run(timing, arrivals)
    got: dict[int, set[Modality]] = {}
    for _, triplet in run.given:
        # A sensor that was silent may come after its triplet: it makes another, with the same.
        tick = round(triplet.time / TICK)
        got[tick] = got.get(tick, set()) | set(triplet.frames)
    dropped = sum(run.synchronizer.dropped.values())
    expected = {i: {m for m in MODALITIES if kept[m][i]} for i in range(20)}
    missing = sum(len(expected[i] - got.get(i, set())) for i in range(20))
    assert all(got[i] <= expected[i] for i in got)
    assert missing == dropped
    # Only a frame that stands alone among others that go on, twice in a row, is dropped.
    assert {reason for _, reason in run.synchronizer.dropped} <= {"out of step"}
    assert all(i in got or len(expected[i]) <= 1 for i in range(20))


def test_a_dead_sensor_is_waited_for_three_times() -> None:
    run = Run(Timing(), {"rgb": steady(TICK), "tir": steady(TICK, 0.002, lost=range(100, 999))})
    waits = [now - t.time for now, t in run.given]
    assert run.states == {"rgb+tir": 100, "rgb": 100}
    assert sum(wait > 0.1 for wait in waits) <= 6  # 0.2 s hold five frames
    assert max(waits) <= 0.2 + TICK + 1e-6
    assert set(run.kinds) == {("tir", "absent")}


def test_a_sensor_that_comes_back_is_matched_again() -> None:
    run = Run(Timing(), {"rgb": steady(TICK), "tir": steady(TICK, 0.002, 0.05, range(50, 100))})
    # Its first frame came after the triplet of its moment, and makes another with the same.
    assert run.states == {"rgb+tir": 150, "rgb": 51}
    assert not run.synchronizer.dropped


def test_a_sensor_whose_frames_come_too_late_is_stale() -> None:
    run = Run(Timing(), {"rgb": steady(TICK), "nir": steady(TICK), "tir": steady(TICK, delay=0.3)})
    assert run.states["rgb+nir"] >= 195
    assert run.kinds["tir", "stale"] >= 195
    patient = Run(Timing(patience=0.4), run.arrivals)
    assert patient.states == {"rgb+nir+tir": 200}


def test_delay_that_all_share_costs_nothing() -> None:
    arrivals = {m: steady(TICK, 0.002 * i, 3 + 0.01 * i) for i, m in enumerate(MODALITIES)}
    assert Run(Timing(), arrivals).states == {"rgb+nir+tir": 200}


@pytest.mark.parametrize("stray", MODALITIES)
def test_the_sensor_out_of_step_is_the_one_that_is_left_out(stray: Modality) -> None:
    run = Run(Timing(), {m: steady(TICK, TICK / 2 * (m == stray)) for m in MODALITIES})
    rest = "+".join(m for m in MODALITIES if m != stray)
    assert run.states[rest] == 200
    assert run.states.total() - 200 <= 2  # it stands alone once, before that is known
    assert run.kinds[stray, "out of step"] >= 190


def test_of_two_sensors_out_of_step_the_first_leads() -> None:
    run = Run(Timing(), {"nir": steady(0.1), "tir": steady(0.1, 0.05)})
    assert run.states["nir"] == 80
    assert run.states["tir"] <= 2


def test_a_slow_sensor_serves_again() -> None:
    timing = Timing(tolerance=0.06)
    run = Run(timing, {"rgb": steady(TICK), "nir": steady(TICK, 0.002), "tir": steady(1 / 9, 0.01)})
    assert run.states["rgb+nir+tir"] / run.states.total() > 0.98
    assert 195 <= run.states.total() <= 205


@pytest.mark.parametrize("phase", [0.0, 0.005, 0.012, 0.0199, 0.02, 0.0201, 0.03, 0.0399])
def test_sensors_that_run_free_are_matched_at_any_phase(phase: float) -> None:
    run = Run(Timing(tolerance=0.025), {"rgb": steady(TICK), "tir": steady(TICK, phase)})
    assert run.states["rgb+tir"] >= 198
    assert run.states.total() <= 202


def test_impossible_times_are_dropped() -> None:
    synchronizer = Synchronizer(["rgb"])
    for captured, now in ((1.0, 1.0), (1.0, 1.1), (0.9, 1.1), (9.0, 1.2)):
        synchronizer.push(frame("rgb", captured), now)
    assert synchronizer.dropped == {("rgb", "disordered"): 2, ("rgb", "ahead"): 1}


def test_silence_is_told() -> None:
    synchronizer = Synchronizer(["rgb", "tir"])
    assert synchronizer.poll(5.0) == []
    assert synchronizer.poll(5.9) == []
    (empty,) = synchronizer.poll(6.1)
    assert empty.frames == {}
    assert {m: a.reason for m, a in empty.absent.items()} == dict.fromkeys(
        ("rgb", "tir"), "no frame has come yet"
    )
    assert synchronizer.poll(6.5) == []
    assert len(synchronizer.poll(7.2)) == 1


# GStreamer, and RTSP from a real server


@pytest.fixture
def gi_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the system's PyGObject importable, if it was built for this Python."""
    python = system_python("Gst")
    if python != sys.executable:
        where = [python, "-c", "import gi; print(gi.__path__[0])"]
        found = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
        (tmp_path / "gi").symlink_to(found)
        monkeypatch.syspath_prepend(str(tmp_path))
    try:
        importlib.import_module("gi")
    except ImportError as error:
        pytest.skip(f"the system's PyGObject is for another Python: {error}")


@pytest.mark.usefixtures("gi_path")
@pytest.mark.parametrize(
    ("caps", "shape", "dtype"),
    [
        ("format=I420,width=322,height=24", (24, 322, 3), np.uint8),
        ("format=GRAY8,width=33,height=24", (24, 33), np.uint8),
        ("format=GRAY16_LE,width=33,height=24", (24, 33), np.uint16),
    ],
)
def test_a_pipeline_gives_dated_pictures(caps: str, shape: tuple[int, ...], dtype: Any) -> None:
    source = GStreamerSource(
        "tir", f"videotestsrc is-live=true pattern=white ! video/x-raw,{caps},framerate=100/1"
    )
    stop = threading.Event()
    for item in source.frames(stop):
        assert isinstance(item, Frame)
        assert item.image.shape == shape
        assert item.image.dtype == dtype
        # GStreamer's grey keeps the range of television, in which white is 235.
        assert item.image.min() > 0.92 * np.iinfo(dtype).max
        assert -0.1 < time.monotonic() - item.time < 10
        if item.sequence == 3:
            stop.set()


@pytest.mark.usefixtures("gi_path")
@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("videotestsrc ! nosuchelement", "nosuchelement"),
        ("videotestsrc num-buffers=2", "the pipeline ended"),
        ("filesrc location=/nowhere ! decodebin", "filesrc"),
        ("videotestsrc ! valve drop=true", "no picture for 0.3 s"),
    ],
)
def test_a_pipeline_that_fails_says_why(pipeline: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        list(GStreamerSource("rgb", pipeline, timeout=0.3).frames(threading.Event()))


class Watcher:
    """A node with one camera, as far as its health."""

    def __init__(self, url: str) -> None:
        self.inbox = Inbox(["tir"])
        source = open_source("tir", SourceSettings(url=url, timeout=2.0))
        self.feed = Feed(source, self.inbox, Backoff(0.1, 0.5))
        self.synchronizer, self.health = Synchronizer(["tir"]), Health(["tir"])
        self.said = ""

    def until(self, enough: Callable[[Verdict], bool], seconds: float = 60) -> None:
        """Runs until a verdict is as wanted; which may take long on a busy machine."""
        verdict, end = None, time.monotonic() + seconds
        while time.monotonic() < end:
            for item in self.inbox.take(0.05):
                if isinstance(item, Notice):
                    self.health.hear(item)
                    self.said += item.reason
                else:
                    self.synchronizer.push(item, time.monotonic())
            now = time.monotonic()
            for triplet in self.synchronizer.poll(now):
                verdict = self.health.judge(triplet, now).verdicts["tir"]
                if enough(verdict):
                    return
        raise AssertionError(f"waited in vain; last: {verdict}")

    def healthy_frames(self, count: int) -> None:
        left = itertools.count(count, -1)
        self.until(lambda v: v.healthy and next(left) <= 0)


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    pytest.importorskip("av")
    camera = RtspCamera(system_python("Gst", "GstRtspServer"))
    camera.start()
    yield camera
    camera.kill()


def test_rtsp_is_followed_through_freeze_death_and_another_size(camera: RtspCamera) -> None:
    watcher = Watcher(camera.url)
    watcher.feed.start()
    watcher.healthy_frames(20)
    camera.tell("freeze")
    watcher.until(lambda v: v.fault == "frozen")
    camera.tell("thaw")
    watcher.until(lambda v: v.healthy)
    camera.kill()
    watcher.until(lambda v: v.fault == "absent" and "refused" in v.reason)
    camera.start(width=208, height=144)
    watcher.until(lambda v: v.fault == "size" and "208x144 pixels instead of 160x120" in v.reason)
    camera.kill()
    camera.start()
    watcher.until(lambda v: v.healthy)
    watcher.feed.stop()
    assert watcher.feed.join(20)
    assert "secret" not in watcher.said


@pytest.mark.slow
def test_rtsp_that_hangs_is_given_up_and_tried_again(camera: RtspCamera) -> None:
    watcher = Watcher(camera.url)
    watcher.feed.start()
    watcher.healthy_frames(5)
    camera.process.send_signal(signal.SIGSTOP)
    watcher.until(lambda v: v.fault == "absent" and "no data for 2 s" in v.reason)
    camera.process.send_signal(signal.SIGCONT)
    watcher.until(lambda v: v.healthy)
    watcher.feed.stop()
    assert watcher.feed.join(20)
