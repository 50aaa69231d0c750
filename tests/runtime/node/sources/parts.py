"""What tests of sources share: frames, recordings, videos."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.graph import RGB_NIR_TIR, Modality
from runtime.node.sources import (
    Frame,
    Inbox,
    Item,
    Source,
    film,
    folder,
    pace,
)

MODALITIES = RGB_NIR_TIR.modalities

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


# Threads


def collect(inbox: Inbox, enough: Callable[[list[Any]], bool]) -> list[Any]:
    found: list[Any] = []
    end = time.monotonic() + 30
    while not enough(found) and time.monotonic() < end:
        found += inbox.take(0.05)
    assert enough(found), found
    return found
