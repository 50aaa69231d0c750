"""The frames of recordings and of cameras, moment for moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denet.graph import Modality
from runtime.node.align import looking
from runtime.node.align.looking import moments
from runtime.node.errors import NodeError
from runtime.node.sources import Source, SourceSettings, TrackTiming
from runtime.node.sources.frame import Item

MODALITIES: tuple[Modality, ...] = ("rgb", "tir")


class Camera(Source):
    """Gives a frame each 20 ms, until it is stopped; or none."""

    def __init__(self, modality: Modality, *, silent: bool = False) -> None:
        super().__init__(modality, f"camera {modality}", live=True)
        self._silent = silent
        self.closed = threading.Event()

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        try:
            while not stop.wait(0.02):
                if not self._silent:
                    # Both cameras are triggered at once.
                    now = round(time.monotonic() / 0.02) * 0.02
                    yield self.frame(now, np.zeros((8, 8), np.uint8))
        finally:
            self.closed.set()


def watched(monkeypatch: pytest.MonkeyPatch, *, silent: bool = False) -> dict[Modality, Camera]:
    cameras = {m: Camera(m, silent=silent) for m in MODALITIES}
    monkeypatch.setattr(looking, "open_sources", lambda *_: cameras)
    return cameras


SETTINGS = {m: SourceSettings(url=f"rtsp://camera/{m}") for m in MODALITIES}


def test_cameras_are_looked_at_until_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = watched(monkeypatch)
    found = moments(SETTINGS, TrackTiming(), None)
    seen = [next(found) for _ in range(5)]  # type: ignore[call-overload]
    assert all(set(frames) <= set(MODALITIES) for frames, _ in seen)
    assert [t for _, t in seen] == sorted(t for _, t in seen)
    found.close()  # type: ignore[attr-defined]
    assert all(camera.closed.wait(10) for camera in cameras.values())


def test_cameras_that_give_nothing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watched(monkeypatch, silent=True)
    monkeypatch.setattr(looking, "PATIENCE", 0.3)
    with pytest.raises(NodeError, match="camera rgb, camera tir: no frame came"):
        list(moments(SETTINGS, TrackTiming(), 1.0))


def test_cameras_and_recordings_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "RGB").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "RGB" / "1.png")
    settings: dict[Modality, SourceSettings] = {
        "rgb": SourceSettings(url=f"folder:{tmp_path}", rate=1.0),
        "tir": SourceSettings(url="rtsp://camera/1"),
    }
    with pytest.raises(NodeError, match="cameras and recordings"):
        list(moments(settings, None, None))


def test_a_recording_is_looked_at_once_and_as_long_as_is_said(tmp_path: Path) -> None:
    (tmp_path / "RGB").mkdir()
    for number in range(20):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "RGB" / f"{number:02}.png")
    settings: dict[Modality, SourceSettings] = {
        "rgb": SourceSettings(url=f"folder:{tmp_path}", rate=10.0, loop=True)
    }
    assert len(list(moments(settings, None, None))) == 20
    assert len(list(moments(settings, None, 0.5))) == 6
