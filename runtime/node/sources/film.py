"""Video files, replayed as if they were cameras."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from denet.graph import Modality
from runtime.node.sources.base import Source
from runtime.node.sources.decoding import decoded, import_av, opened, video_of
from runtime.node.sources.frame import Item, SourceError
from runtime.node.sources.pace import Start

if TYPE_CHECKING:
    from av.container import InputContainer

JUMP = 10.0
"""Seconds between two pictures that are no pause of the scene, but the seam of two recordings, or
a recorder that was switched off. FFmpeg draws the line there, too."""


class Timeline:
    """One time for all pictures of a film, in the order in which they are shown.

    Stamps that go back, or jump ahead by more than `JUMP`, are the beginning of another recording
    in the same file, as where two were joined: it follows at once.
    """

    def __init__(self, period: float) -> None:
        """Make one.

        Args:
            period: seconds between two pictures, as long as none was seen.
        """
        self._period = period
        self._origin = 0.0  # the stamp of time 0
        self._last: float | None = None

    def shown(self, stamp: float | None) -> float:
        """When a picture is shown, in seconds from the first; later than all before it.

        Args:
            stamp: of the picture, in seconds from anywhere; None where it has none.
        """
        last = self._last
        if last is None:
            self._origin, self._last = stamp or 0.0, 0.0
            return 0.0
        time = last + self._period
        if stamp is not None:
            step = stamp - self._origin - last
            if 0 < step <= JUMP:
                time = stamp - self._origin
                self._period = step
            else:
                self._origin = stamp - time
        self._last = time
        return time

    def missed(self, stamp: float | None) -> float:
        """When a picture should have been shown that cannot be: its stamp is not to be relied on,
        and is in the order of decoding."""
        last = 0.0 if self._last is None else self._last
        if stamp is None or self._last is None:
            return last
        time = stamp - self._origin
        return time if abs(time - last) <= JUMP else last


class FilmSource(Source):
    """A video file, at its own pace or at a given rate.

    A machine that cannot keep up gives its frames late, and their capture times say so.

    Attributes:
        pace: frames a second, on average.
    """

    def __init__(
        self,
        modality: Modality,
        path: Path,
        *,
        rate: float | None = None,
        loop: bool = False,
        start: Start | None = None,
    ) -> None:
        """Look whether it is a video: what it is not now it will not become.

        Args:
            modality: of its frames.
            path: the file.
            rate: frames a second; None for those of the file.
            loop: begin again at the end, for ever.
            start: when the first frame is; shared with other recordings, or its own.

        Raises:
            SourceError: there is no such file, it has no picture, or PyAV is not installed.
        """
        super().__init__(modality, str(path), live=False)
        if not path.is_file():
            raise SourceError(f"{path}: there is no such video file")
        if rate is not None and not 0 < rate < float("inf"):
            raise SourceError(f"{path}: a rate of {rate:g} a second: give one above 0")
        import_av()
        self._path, self._rate, self._loop = path, rate, loop
        self._start = start or Start()
        with self._opened() as container:
            self.pace = self._pace(container)
            if next(decoded(container, live=True), None) is None:
                raise self._without_pictures()

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`. What cannot be decoded is an `Undecodable`."""
        begin = self._start.time()
        while True:
            last: float | None = None
            with self._opened() as container:
                period = 1 / self._pace(container)
                timeline = Timeline(period)
                for position, (stamp, picture) in enumerate(decoded(container, live=False)):
                    if self._rate is not None:
                        due = begin + position * period
                    elif isinstance(picture, str):
                        due = begin + timeline.missed(stamp)
                    else:
                        due = begin + timeline.shown(stamp)
                    last = due if last is None else max(last, due)
                    if stop.wait(max(due - time.monotonic(), 0.0)):
                        return
                    if isinstance(picture, str):
                        yield self.undecodable(due, picture)
                    else:
                        yield self.frame(due, picture, position=due - begin)
            if last is None:
                raise self._without_pictures()
            if not self._loop:
                return
            begin = last + period

    def _pace(self, container: InputContainer) -> float:
        stream = video_of(container)
        return float(self._rate or (stream and stream.average_rate) or 25)

    def _opened(self) -> AbstractContextManager[InputContainer]:
        # Whatever the file says that it is: nothing but it is opened, on this machine or another.
        options = {"protocol_whitelist": "file"}
        return opened(f"file:{self._path}", form=None, options=options, timeout=None)

    def _without_pictures(self) -> SourceError:
        return SourceError(f"{self._path}: has no picture: it was cut off, or is no video")
