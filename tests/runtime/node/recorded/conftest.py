"""A street that is drawn once, as folders and as films, with who walks there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.data.synthetic.street import Street, Visit
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node.demo.demonstration import BUNDLE
from runtime.runtime import Runtime

RATE, COUNT, SIZE = 10.0, 64, (240, 152)

VISITS = (
    Visit(0, (0.2, 5.8), (-15, 255), 138, 80),
    Visit(1, (0.8, 6.2), (255, -15), 146, 88),
)


@dataclass(frozen=True)
class Drawn:
    """What is there.

    Attributes:
        folder: with RGB/ and TI/.
        rgb, tir: the same as films, without loss.
        boxes: file of boxes by name; `timed` of the same by time.
        truth: of each moment, boxes by person.
        gallery: knows person 0 as "alice".
    """

    folder: Path
    rgb: Path
    tir: Path
    boxes: Path
    timed: Path
    truth: list[dict[int, tuple[float, float, float, float]]]
    gallery: Path


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    pytest.importorskip("av")
    root = tmp_path_factory.mktemp("drawn")
    folder = root / "street"
    for name in ("RGB", "TI"):
        (folder / name).mkdir(parents=True)
    street = Street(11, 2, SIZE)
    frames = list(street.frames(VISITS, RATE, COUNT))
    truth = [dict(frame.boxes) for frame in frames]
    for number, frame in enumerate(frames):
        for m, name in (("rgb", "RGB"), ("tir", "TI")):
            Image.fromarray(frame.pixels[m]).save(folder / name / f"{number:04}.png")
    by_name = [{"name": f"{i:04}", "boxes": list(at.values())} for i, at in enumerate(truth)]
    by_time = [{"time": i / RATE, "boxes": list(at.values())} for i, at in enumerate(truth)]
    (root / "boxes.jsonl").write_text("\n".join(map(json.dumps, by_name)))
    (root / "timed.jsonl").write_text("\n".join(map(json.dumps, by_time)))
    film(root / "a.mkv", [frame.pixels["rgb"] for frame in frames], RATE)
    film(root / "b.mkv", [frame.pixels["tir"] for frame in frames][::2], RATE / 2)
    enrol(root / "gallery.db", street)
    return Drawn(
        folder, root / "a.mkv", root / "b.mkv", root / "boxes.jsonl", root / "timed.jsonl", truth,
        root / "gallery.db",
    )  # fmt: skip


def film(path: Path, pictures: list[NDArray[np.uint8]], rate: float) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height = pictures[0].shape[1], pictures[0].shape[0]
        stream.pix_fmt = "bgr0" if pictures[0].ndim == 3 else "gray"
        for picture in pictures:
            form = "rgb24" if picture.ndim == 3 else "gray"
            frame = av.VideoFrame.from_ndarray(picture, format=form)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def enrol(path: Path, street: Street) -> None:
    """Alice, in every state, by portraits of other moments."""
    with Runtime.load(BUNDLE, "ort-cpu") as runtime, open_gallery(str(path), create=True) as known:
        enrolments = [
            Enrolment(
                "alice",
                state,
                runtime.embed({m: Image.fromarray(shot.pixels[m]) for m in state.available}),
                source="drawn",
            )
            for shot in street.portraits(0, 138, 80, 3)
            for state in runtime.graph.states
        ]
        known.enrol(Space.of(runtime.bundle.manifest), enrolments)
