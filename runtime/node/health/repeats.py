"""Streams that show again what they have shown: frozen or looping.

A sensor never gives the same picture twice: even of a still scene it gives new noise. So a frame
that differs from an earlier one by much less than the noise of this stream is that earlier frame,
bit for bit or coded once more. How noisy a stream is, it shows itself, band by band; what coding
has left no noise in is compared bit for bit, and may stand still from one key frame to the next:
`rests` learns for how long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runtime.node.health.grid import BANDS, BLOCKS, Grid, Points
from runtime.node.health.limits import Limits
from runtime.node.health.rests import Rests
from runtime.node.health.usual import GAP
from runtime.node.health.verdict import Finding

REMEMBERED = 64
"""Frames that are remembered: loops up to 2.5 s at 25 Hz are found."""

LEARNED = 10
"""New frames from which noise is first learned: the least change of each band."""

FALL, RISE, SHED = 0.9, 1.0005, 0.97
"""Factors by which noise that was learned follows a frame that changed less, one that changed
more (most often because something moved), and a part of a torn one that changed by less than a
repeat may and yet not by nothing: noise that fell suddenly, which is no tear, ends so."""

NEAR = BANDS * BLOCKS * 0.25**2
"""Squared distance of the blocks of two frames under which they are worth a closer look."""


@dataclass(frozen=True)
class FrameChange:
    """How a frame differs from the one before.

    Attributes:
        bands: mean absolute difference of each band, in levels.
        repeated: of each band, whether it is the one before, as far as noise can tell.
        noisy: of each band, whether it usually has more noise than any coding leaves of none.
    """

    bands: list[float]
    repeated: list[bool]
    noisy: list[bool]


class Repeats:
    """The last frames of one stream, and its noise."""

    def __init__(self, grid: Grid, limits: Limits) -> None:
        self._grid, self._limits = grid, limits
        self._levels = np.zeros((REMEMBERED, BANDS, grid.points), np.float32)
        self._blocks = np.zeros((REMEMBERED, BANDS * BLOCKS), np.float32)
        self._squares = np.full(REMEMBERED, np.inf, np.float32)
        self._last = 0  # where the newest frame is
        self._seen = 0
        self._fresh = 0  # frames from which noise was learned
        self._noise = [np.inf] * BANDS
        self._still = 0  # frames in a row that repeat the one before
        self._still_for = 0.0  # seconds of them
        self._rests = Rests(limits)
        self._time = 0.0  # of the last frame
        self._looped = 0  # frames that repeat an older one, since the last new one

    def compare(self, points: Points) -> FrameChange | None:
        """The change since the frame before; None for the first."""
        if not self._seen:
            return None
        bands = self._grid.distances(points.levels, self._levels[self._last])
        least = self._limits.torn_noise * self._grid.step
        return FrameChange(
            bands,
            [change <= bound for change, bound in zip(bands, self._bounds(), strict=True)],
            [self._fresh >= LEARNED and noise >= least for noise in self._noise],
        )

    def judge(self, points: Points, change: FrameChange | None, time: float) -> Finding | None:
        """Remember a whole frame, and say whether the stream has come to a stop or runs in a loop.

        Args:
            points: of the frame.
            change: what `compare` says of it.
            time: when it was captured.
        """
        if change is None:
            self._remember(points)
            self._time = time
            return None
        passed, self._time = min(max(time - self._time, 0.0), GAP), time
        if all(change.repeated):
            self._still_for = self._still_for + passed if self._still else 0.0
            self._still += 1
        else:
            if self._rests.end(self._still, self._still_for) and self._can_tell():
                self._fresh, self._noise = 0, [np.inf] * BANDS
            self._still = 0
            if self._is_older(points):
                self._looped += 1
            else:
                self._looped = 0
                if self._rests.moves:
                    self._learn(change)
        self._remember(points)
        return self._finding()

    @property
    def unsure(self) -> bool:
        """Whether the last frame repeats another, though not yet often enough for a finding. In a
        stream without noise repeats are nothing to wonder at."""
        return self._can_tell() if self._still else self._looped > 0

    def pass_over(self, points: Points) -> None:
        """Remember a frame that has another fault, and learn nothing from it."""
        self._still = self._looped = 0
        self._remember(points)

    def begin_again(self) -> None:
        """Forget the pictures, which may come again from now on; what noise is stays known."""
        self._seen = self._still = self._looped = 0
        self._still_for = 0.0
        self._squares[:] = np.inf

    def shed(self, change: FrameChange) -> None:
        """What changed a little in a torn frame is perhaps not torn off, but has lost noise."""
        for band, moved in enumerate(change.bands):
            if change.repeated[band] and moved > 0:
                self._noise[band] = max(moved, SHED * self._noise[band])

    def _finding(self) -> Finding | None:
        limits = self._limits
        if self._looped >= limits.repeat_frames:
            return Finding("looping", f"{self._looped} pictures were shown before")
        if self._can_tell():
            if self._still >= limits.repeat_frames:
                return Finding("frozen", f"the same picture for {self._still + 1} frames")
        elif self._still and self._still_for >= self._rests.longest:
            return Finding("frozen", f"bit for bit the same picture for {self._still_for:.1f} s")
        return None

    def _can_tell(self) -> bool:
        """Whether any part of the stream has noise."""
        quiet = self._limits.quiet_noise * self._grid.step
        return self._fresh >= LEARNED and any(noise >= quiet for noise in self._noise)

    def _bounds(self) -> list[float]:
        """The most that each band may change and still repeat an earlier one."""
        limits, step = self._limits, self._grid.step
        if self._fresh < LEARNED:
            return [0.0] * BANDS
        quiet, share, most = limits.quiet_noise * step, limits.repeat_share, limits.repeat_most
        return [min(share * n, most) if n >= quiet else 0.0 for n in self._noise]

    def _is_older(self, points: Points) -> bool:
        """Whether a frame before the last one was the same."""
        blocks = points.blocks
        # The squared distance without the part that is the same for all.
        apart = self._squares - self._blocks @ (blocks + blocks)
        apart[self._last] = np.inf
        place = int(apart.argmin())
        if not apart[place] + float(blocks @ blocks) < NEAR:
            return False
        distances = self._grid.distances(points.levels, self._levels[place])
        return all(d <= bound for d, bound in zip(distances, self._bounds(), strict=True))

    def _learn(self, change: FrameChange) -> None:
        self._fresh += 1
        if self._fresh <= LEARNED:
            self._noise = [min(n, c) for n, c in zip(self._noise, change.bands, strict=True)]
            return
        self._noise = [
            max(c, FALL * n) if c < n else RISE * n
            for n, c in zip(self._noise, change.bands, strict=True)
        ]

    def _remember(self, points: Points) -> None:
        self._last = self._seen % REMEMBERED
        self._seen += 1
        blocks = points.blocks
        self._levels[self._last] = points.levels
        self._blocks[self._last] = blocks
        self._squares[self._last] = blocks @ blocks
