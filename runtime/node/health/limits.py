"""When a sensor counts as sick: every threshold, each with its reason.

`docs/node.md` says what they find and miss, measured.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from denet.errors import DenetError
from denet.pixels import FULL, LEAST_USE, Range

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Level = Annotated[float, msgspec.Meta(ge=0, le=255)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class LimitsError(DenetError):
    """Thresholds that contradict each other."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The thresholds of one modality. Levels are of 0 to 255; 16-bit values are scaled to them.

    Attributes:
        stale_after: seconds after its capture at which a frame is too old. Half a second: a
            walking person is then elsewhere by their own width.
        size: (width, height) in pixels that frames must have; None: the usual ones. Boxes and
            homographies are made for one size, so after `usual_seconds` of one no other becomes
            usual.
        any_size: frames are crops, whose sizes differ.
        range16: the values of black and white of 16-bit pixels; the source's, or the bundle's.
        range_use: share of this range that the pictures of a stream must use, all together: people
            differ by more from what is behind them, or no network tells them apart. 0: never asked.
        colour: "learned": a stream that is usually in colour has a fault when it is grey; "always":
            it has one whenever it is grey; "any": never, as for a camera that is grey by night.
        colour_share: share of the points in which channels must differ for a frame to be coloured:
            more than a marker or a clock that is written into a grey picture.
        usual_seconds: for which another size, depth or colour must last to become the usual one,
            at most: a day/night camera is mistrusted for that long each evening. A glitch is not.
        black_level, black_share: black if this share of the points is no brighter than that.
            Dark noise of a sensor stays below 12; in drawn night shots 73 % of the points and
            more are brighter, so 98 % leaves room for lamps, and for a clock in the picture.
        white_level, white_share: saturated if this share is at least that bright. Glare takes up
            to 27 % of a drawn shot, and 19 % of a real one.
        flat_spread: standard deviation of a band below which it shows nothing. The noise of any
            sensor is more, except where it clips.
        uniform_bands: of the 8 bands, how many must be flat for the picture to be uniform. One is
            left for a clock that the camera writes into a picture that it has lost.
        repeat_share: a band repeats an earlier frame if it changed by less than this share of
            its usual noise; noise of a repeat is noise of coding.
        repeat_most: and by less than this many levels, whatever its usual noise.
        quiet_noise: noise below which a band cannot be told from a repeat, because coding has
            smoothed it away. In steps of the pixels' own scale: 1 level of 8 bits.
        repeat_frames: repeats in a row that make a stream frozen or looping. A 9 Hz sensor in
            a 30 Hz stream shows each picture 3 to 4 times; one in a 60 Hz stream needs 8.
        quiet_seconds, quiet_most: how long a stream without noise may show bit for bit the same: at
            least, and at most. A still scene that is coded hard does so between two key frames, so
            three times what lies between these is allowed once that is known, and before the most.
        torn_noise: noise that a band must have for a repeat of it alone to count as a tear.
            Coding repeats single quiet bands of a good stream.
        recovery_frames: good frames in a row, after which a sensor is healthy again; after a
            shorter fault, as many as it lasted. A picture that flickers between good and bad
            is bad.
    """

    stale_after: Seconds = 0.5
    size: tuple[Count, Count] | None = None
    any_size: bool = False
    range16: Range = FULL
    range_use: Annotated[float, msgspec.Meta(ge=0, le=1)] = LEAST_USE
    colour: Literal["learned", "always", "any"] = "learned"
    colour_share: Share = 0.05
    usual_seconds: Seconds = 60.0
    black_level: Level = 12
    black_share: Share = 0.98
    white_level: Level = 250
    white_share: Share = 0.8
    flat_spread: Level = 1.0
    uniform_bands: Annotated[int, msgspec.Meta(ge=1, le=8)] = 7
    repeat_share: Share = 0.5
    repeat_most: Level = 1.0
    quiet_noise: Level = 0.25
    repeat_frames: Count = 5
    quiet_seconds: Seconds = 5.0
    quiet_most: Seconds = 60.0
    torn_noise: Level = 1.0
    recovery_frames: Count = 5

    def __post_init__(self) -> None:
        """See that the ranges are some.

        Raises:
            LimitsError: one is empty; names it.
        """
        for name, (low, high) in (
            ("range16", self.range16),
            ("black_level, white_level", (self.black_level, self.white_level)),
        ):
            if low >= high:
                raise LimitsError(f"{name} are {low:g} and {high:g}: the first must be less")
        if self.quiet_seconds > self.quiet_most:
            raise LimitsError(
                f"quiet_seconds, quiet_most are {self.quiet_seconds:g} and {self.quiet_most:g}: "
                "the second must not be less"
            )
