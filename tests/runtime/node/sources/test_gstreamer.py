"""GStreamer pipelines."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.node.sources import (
    Frame,
    SourceError,
)
from runtime.node.sources.gstreamer import GStreamerSource, unpacked_rows
from tests.runtime.node.rtsp import system_python


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
def test_grey_of_10_bits_keeps_its_values() -> None:
    source = GStreamerSource(
        "tir",
        "videotestsrc num-buffers=1 pattern=gradient ! "
        "video/x-raw,format=GRAY10_LE32,width=31,height=64,framerate=100/1",
    )
    frame = next(source.frames(threading.Event()))
    assert isinstance(frame, Frame)
    assert frame.image.shape == (64, 31)
    assert 512 < frame.image.max() < 1024
    assert np.all(frame.image == frame.image[:, :1])  # a gradient from above to below


def test_packed_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 1024, (4, 7))
    padded = np.pad(pixels, ((0, 0), (0, 2))).reshape(4, 3, 3)
    words = [[sum(int(p) << (10 * i) for i, p in enumerate(w)) for w in row] for row in padded]
    rows = np.array(words, "<u4").view(np.uint8).reshape(4, -1)
    np.testing.assert_array_equal(unpacked_rows(rows, 7), pixels)


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
