"""Draws `align.png` and `track.png`: `python docs/street.py`, in the root of the repository.

A drawn street, whose thermal camera is another one: aligned by who walks there; and the street of
`denet node demo`, at a moment when its visible camera is black.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image

from denet.data.synthetic.street import Street, Visit
from denet.folders import FOLDERS
from runtime.node.align.ways import AlignRequest, run_align
from runtime.node.demo.demonstration import BUNDLE, make_demonstration
from runtime.node.recorded.whole import TrackRequest, track_recordings

DOCS = Path(__file__).parent

SIZE, THERMAL = (480, 320), (300, 210)
TRUTH = np.array([[0.62, 0.02, -8.0], [0.01, 0.64, 6.0], [4e-5, 1e-5, 1.0]])
VISITS = (
    Visit(0, (2.5, 9), (-40, 520), 200, 110),
    Visit(1, (4, 12), (520, -40), 290, 170),
    Visit(2, (9, 17), (-40, 520), 245, 140),
    Visit(3, (13, 20), (520, -40), 310, 190),
)

MOMENT = 6.2
"""Seconds."""


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        draw_align(folder / "street", DOCS / "align.png")
        draw_track(folder / "demo", DOCS / "track.png")


def draw_align(folder: Path, to: Path) -> None:
    for of in ("RGB", "TI"):
        (folder / of).mkdir(parents=True)
    back = np.linalg.inv(TRUTH)
    data = tuple((back / back[2, 2]).ravel()[:8])
    for i, frame in enumerate(Street(3, 4, SIZE).frames(VISITS, 10.0, 210)):
        Image.fromarray(frame.pixels["rgb"]).save(folder / "RGB" / f"{i:05}.png")
        thermal = Image.fromarray(frame.pixels["tir"]).transform(
            THERMAL, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR
        )
        thermal.save(folder / "TI" / f"{i:05}.png")
    sources = [f"{m}=folder:{folder}" for m in ("rgb", "tir")]
    to.unlink(missing_ok=True)
    run_align(AlignRequest(sources=sources, rate=10.0, people=True, picture=to))


def draw_track(folder: Path, to: Path) -> None:
    make_demonstration(folder, 0)
    film = folder / "a.mp4"
    track_recordings(
        TrackRequest(
            recordings=dict.fromkeys(FOLDERS, folder / "street"),
            to=film,
            bundle=BUNDLE,
            rate=10.0,
            boxes=f"file:{folder / 'boxes.jsonl'}",
            gallery=str(folder / "gallery.db"),
        ),
        print,
    )
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= MOMENT:
                frame.to_image().quantize(64).save(to, optimize=True)
                return


if __name__ == "__main__":
    main()
