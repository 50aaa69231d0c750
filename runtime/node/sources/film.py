"""Video files, replayed as if they were cameras."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path

from denet.graph import Modality
from runtime.node.sources.base import Source
from runtime.node.sources.decoding import decoded, import_av, opened
from runtime.node.sources.frame import Item, SourceError
from runtime.node.sources.pace import Start


class FilmSource(Source):
    """A video file, at its own pace or at a given rate.

    A machine that cannot keep up gives its frames late, and their capture times say so.
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
        """Prepare; nothing is opened.

        Args:
            modality: of its frames.
            path: the file.
            rate: frames a second; None for those of the file.
            loop: begin again at the end, for ever.
            start: when the first frame is; shared with other recordings, or its own.

        Raises:
            SourceError: there is no such file, or PyAV is not installed.
        """
        super().__init__(modality, str(path), live=False)
        if not path.is_file():
            raise SourceError(f"{path}: there is no such video file")
        if rate is not None and not 0 < rate < float("inf"):
            raise SourceError(f"{path}: a rate of {rate:g} a second: give one above 0")
        import_av()
        self._path, self._rate, self._loop = path, rate, loop
        self._start = start or Start()

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`. What cannot be decoded is an `Undecodable`."""
        begin = self._start.time()
        while True:
            due, last, period = begin, begin, 0.0
            with opened(str(self._path), form=None, options={}, timeout=None) as container:
                period = 1 / float(self._rate or container.streams.video[0].average_rate or 25)
                first: float | None = None
                for position, (stamp, picture) in enumerate(decoded(container, live=False)):
                    if self._rate is not None or stamp is None:
                        due = begin + position * period
                    else:
                        first = stamp if first is None else first
                        due = begin + stamp - first
                    last = max(last, due)
                    if stop.wait(max(due - time.monotonic(), 0.0)):
                        return
                    if isinstance(picture, str):
                        yield self.undecodable(due, picture)
                    else:
                        yield self.frame(due, picture, position=due - begin)
            if not self._loop:
                return
            begin = last + period
