"""Cameras that FFmpeg can open: RTSP and V4L2."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from denet.graph import Modality
from denet.secrets import redacted
from runtime.node.sources.base import Source
from runtime.node.sources.clock import StreamClock
from runtime.node.sources.decoding import decoded, import_av, opened
from runtime.node.sources.frame import Item

if TYPE_CHECKING:
    from av.container import InputContainer

TIMEOUT = 5.0
"""Seconds without data after which a connection counts as lost."""

RTSP = {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "500000"}
"""Over UDP a lost packet damages the picture, and the decoder hides it; over TCP it delays it.
Half a second of looking at the stream instead of five halves the time to the first frame."""


class _Waits:
    """A container, and for how long its data was waited for."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, *streams: Any) -> Iterator[Any]:
        packets = iter(self._container.demux(*streams))
        while True:
            began = time.monotonic()
            packet = next(packets, None)
            self._seconds += time.monotonic() - began
            if packet is None:
                return
            yield packet

    def take(self) -> float:
        """Seconds since it was last asked."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


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
        self.timeout, self._clock = timeout, StreamClock(delay)

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`. What cannot be decoded is an `Undecodable`."""
        clock = self._clock
        clock.reconnect()
        address = self._address
        with opened(
            address, form=self._form, options=self._options, timeout=self.timeout
        ) as container:
            watch = _Waits(container)
            for stamp, picture in decoded(cast("InputContainer", watch), live=True):
                if stop.is_set():
                    return
                captured = clock.time(stamp, time.monotonic(), watch.take())
                self.doubt = clock.doubt
                if isinstance(picture, str):
                    yield self.undecodable(captured, picture)
                else:
                    yield self.frame(captured, picture)
