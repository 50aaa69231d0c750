"""Points that are found in what the cameras see, and the frames in which they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from denet.graph import Modality
from denet.pixels import Range
from runtime.node.align.aligned import WITHIN
from runtime.node.align.board import Board, board_pairs
from runtime.node.align.looking import Moment
from runtime.node.align.people import People
from runtime.node.align.points import Place, PointFile, Size, joined
from runtime.node.boxes.homography import REFERENCE
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Pixels

INTERVAL = 0.5
"""Seconds between two moments in which a board is looked for: it was moved meanwhile."""

MOST_BOARDS = 40
"""Moments with a board for each camera, at most."""

LOOSE = 2 * WITHIN
"""Of the longer side: boxes end near feet and heads, not at them."""


@dataclass
class SeenFrames:
    """What was seen.

    Attributes:
        sizes: (width, height) of the frames of each modality.
        frames: of a moment that shows all of them, and points if there were any.
        moments: how many there were.
    """

    sizes: dict[Modality, Size] = field(default_factory=dict)
    frames: Mapping[Modality, Pixels] = field(default_factory=dict)
    moments: int = 0

    def take(self, moment: Moment, *, telling: bool) -> None:
        """A moment passes.

        Args:
            moment: it.
            telling: whether there are points in it.
        """
        frames, _ = moment
        self.moments += 1
        for m, frame in frames.items():
            size = frame.image.shape[1], frame.image.shape[0]
            if self.sizes.setdefault(m, size) != size:
                raise NodeError(
                    f"{m}: frames of {size[0]}x{size[1]} and of {self.sizes[m][0]}x"
                    f"{self.sizes[m][1]} pixels: a homography is of one size"
                )
        if len(frames) > len(self.frames) or (telling and len(frames) == len(self.frames)):
            self.frames = {m: frame.image for m, frame in frames.items()}


def find_boards(
    moments: Iterable[Moment],
    board: Board,
    ranges: Mapping[Modality, Range],
    notify: Callable[[int, Mapping[Modality, int]], None] = lambda *_: None,
) -> tuple[PointFile, SeenFrames]:
    """The points of a board at all moments at which RGB and another camera see it.

    Args:
        moments: what cameras see.
        board: what is looked for.
        ranges: values of black and white of 16-bit pixels.
        notify: told of moments that were looked at, and of boards of each camera.

    Raises:
        NodeError: no camera sees it together with RGB.
    """
    seen, last = SeenFrames(), float("-inf")
    pairs: dict[Modality, list[tuple[Place, Place]]] = {}
    counts: dict[Modality, int] = {}
    for moment in moments:
        frames, time = moment
        if time - last < INTERVAL:
            seen.take(moment, telling=False)
            continue
        last = time
        found = board_pairs(frames, board, ranges)
        seen.take(moment, telling=bool(found))
        for m, those in found.items():
            pairs.setdefault(m, []).extend(those)
            counts[m] = counts.get(m, 0) + 1
        notify(seen.moments, counts)
        others = [m for m in seen.sizes if m != REFERENCE]
        if others and all(counts.get(m, 0) >= MOST_BOARDS for m in others):
            break
    _need_reference(seen)
    lacking = [m for m in seen.sizes if m != REFERENCE and m not in pairs]
    if lacking:
        raise NodeError(
            f"{' and '.join(lacking)}: {board.describe()} was not seen at one moment with "
            f"{REFERENCE}, in {seen.moments} moments: show all of it to both, warm it for a "
            "thermal camera, and count the corners inside of it, or its circles"
        )
    return joined(seen.sizes, pairs), seen


def find_people(
    moments: Iterable[Moment],
    people: People,
    within: float | None,
    notify: Callable[[int, int], None] = lambda *_: None,
) -> tuple[PointFile, SeenFrames]:
    """Feet and heads of people at all moments at which RGB and another camera see them.

    Args:
        moments: what cameras see.
        people: looks for them.
        within: pixels by which they may be off; None for `LOOSE` of the frame.
        notify: told of moments that were looked at, and of those with somebody in both.

    Raises:
        NodeError: nobody was seen by both, or what was seen agrees on nothing.
    """
    seen = SeenFrames()
    for moment in moments:
        before = len(people.moments)
        people.look(*moment)
        seen.take(moment, telling=len(people.moments) > before)
        notify(seen.moments, len(people.moments))
    _need_reference(seen)
    pairs = {}
    for m, size in seen.sizes.items():
        if m != REFERENCE:
            try:
                pairs[m] = people.pairs(m, LOOSE * max(size) if within is None else within)
            except NodeError as error:
                raise NodeError(f"{m}: {error}") from None
    return joined(seen.sizes, pairs), seen


def look(moments: Iterable[Moment]) -> SeenFrames:
    """The sizes of all frames, and a moment that shows all of them: the first that does."""
    seen = SeenFrames()
    for count, moment in enumerate(moments):
        seen.take(moment, telling=False)
        if count >= MOST_LOOKED:
            break
    return seen


MOST_LOOKED = 10
"""Moments that are looked at for a picture."""


def _need_reference(seen: SeenFrames) -> None:
    if REFERENCE not in seen.sizes or len(seen.sizes) < 2:
        came = ", ".join(seen.sizes)
        raise NodeError(
            f"sources: frames came of {came} alone: homographies start at {REFERENCE} and lead to "
            "the others"
        )
