"""Cameras that FFmpeg can open: RTSP and V4L2."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping

from denet.graph import Modality
from denet.secrets import redacted
from runtime.node.sources.base import Source
from runtime.node.sources.clock import StreamClock
from runtime.node.sources.decoding import decoded, import_av, opened
from runtime.node.sources.frame import Item

TIMEOUT = 5.0
"""Seconds without data after which a connection counts as lost."""

RTSP = {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "500000"}
"""Over UDP a lost packet damages the picture, and the decoder hides it; over TCP it delays it.
Half a second of looking at the stream instead of five halves the time to the first frame."""


class StreamSource(Source):
    """A camera behind an RTSP URL, or a V4L2 device. The latter was never run on a device."""

    def __init__(
        self,
        modality: Modality,
        address: str,
        *,
        form: str | None,
        options: Mapping[str, str],
        timeout: float = TIMEOUT,
        delay: float = 0.0,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            modality: of its frames.
            address: the URL, or the device.
            form: FFmpeg's name of the format: "rtsp" or "v4l2".
            options: for FFmpeg; over those that this module gives.
            timeout: seconds without data after which the connection counts as lost.
            delay: seconds from capture to arrival, as far as they are known.

        Raises:
            SourceError: PyAV is not installed.
        """
        super().__init__(modality, redacted(address), live=True)
        import_av()
        self._address, self._form = address, form
        self._options = {**(RTSP if form == "rtsp" else {}), **options}
        self.timeout, self._delay = timeout, delay

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`. What cannot be decoded is an `Undecodable`."""
        clock = StreamClock(self._delay)
        address = self._address
        with opened(
            address, form=self._form, options=self._options, timeout=self.timeout
        ) as container:
            for stamp, picture in decoded(container, live=True):
                if stop.is_set():
                    return
                captured = clock.time(stamp, time.monotonic())
                if isinstance(picture, str):
                    yield self.undecodable(captured, picture)
                else:
                    yield self.frame(captured, picture)
