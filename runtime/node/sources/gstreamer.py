"""GStreamer pipelines: how CSI cameras on a Jetson are read.

Through PyGObject and an appsink. OpenCV's VideoCapture takes pipelines, too, where it was built
with GStreamer: PyPI's wheels are not, and where JetPack's is, it gives neither capture times, nor
16-bit pixels, nor a reason when it fails. PyGObject comes with the system (python3-gi), as
GStreamer itself does. Run with a test picture; never run on a CSI camera.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality
from denet.packages import absent, broken
from denet.secrets import redacted
from runtime.node.sources.base import Source
from runtime.node.sources.frame import Item, Pixels, SourceError

SINK = (
    " ! videoconvert ! video/x-raw,format={RGB,GRAY8,GRAY16_LE,GRAY10_LE16,GRAY10_LE32}"
    " ! appsink name=denet max-buffers=2 drop=true sync=false"
)
"""Appended to a pipeline: the newest picture in main memory, in a form that this module knows.
Grey of 10 bits is taken as it is: `videoconvert` would stretch it to 16, and so move its values."""

FORMATS = {"RGB": (np.dtype(np.uint8), 3), "GRAY8": (np.dtype(np.uint8), 1)} | {
    name: (np.dtype("<u2"), 1) for name in ("GRAY16_LE", "GRAY10_LE16")
}
"""The numbers of a picture, and how many each pixel has."""

PACKED = "GRAY10_LE32"
"""Three pixels of 10 bits in each 32, from the lowest bits up."""

SECOND = 1_000_000_000
SLICE = SECOND // 10
"""Nanoseconds of one wait; between waits a stop is seen."""


class GStreamerSource(Source):
    """What comes out of a pipeline."""

    def __init__(
        self, modality: Modality, pipeline: str, *, timeout: float = 5.0, delay: float = 0.0
    ) -> None:
        """Parse the pipeline; nothing is started.

        Args:
            modality: of its frames.
            pipeline: as for gst-launch-1.0, without a sink.
            timeout: seconds without a picture after which it counts as lost.
            delay: seconds from capture to the time that the pipeline gives, as far as known.

        Raises:
            SourceError: PyGObject or GStreamer is not installed, or the pipeline is wrong.
        """
        super().__init__(modality, f"gst:{redacted(pipeline)}", live=True)
        self._description, self._delay = pipeline + SINK, delay
        self.timeout = timeout
        self._gst = import_gst()
        self._parse()

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`."""
        gst = self._gst
        pipeline = self._parse()
        # Its time is CLOCK_MONOTONIC, which is what `time.monotonic` reads on Linux.
        pipeline.use_clock(gst.SystemClock.obtain())
        sink, bus = pipeline.get_by_name("denet"), pipeline.get_bus()
        try:
            pipeline.set_state(gst.State.PLAYING)
            waited = 0
            while not stop.is_set():
                sample = sink.emit("try-pull-sample", SLICE)
                if sample is not None:
                    waited = 0
                    buffer = sample.get_buffer()
                    yield self.frame(
                        self._captured(pipeline, buffer.pts), self._pixels(sample, buffer)
                    )
                    continue
                waited += SLICE
                self._listen(bus)
                if sink.get_property("eos"):
                    raise SourceError(f"{self.name}: the pipeline ended")
                if waited >= self.timeout * SECOND:
                    raise SourceError(f"{self.name}: no picture for {self.timeout:g} s")
        finally:
            pipeline.set_state(gst.State.NULL)

    def _parse(self) -> Any:
        try:
            return self._gst.parse_launch(self._description)
        except Exception as error:  # GLib.Error, which is not there to be named before the import
            reason = redacted(getattr(error, "message", str(error)))
            raise SourceError(f"{self.name}: wrong pipeline: {reason}") from None

    def _captured(self, pipeline: Any, stamp: int) -> float:
        if stamp == self._gst.CLOCK_TIME_NONE:
            return time.monotonic() - self._delay
        captured: float = (pipeline.get_base_time() + stamp) / SECOND - self._delay
        return captured

    def _listen(self, bus: Any) -> None:
        """Raise what an element has complained of."""
        message = bus.pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            error, _ = message.parse_error()
            element = message.src.get_name()
            raise SourceError(f"{self.name}: {element}: {redacted(error.message)}")

    def _pixels(self, sample: Any, buffer: Any) -> Pixels:
        caps = sample.get_caps().get_structure(0)
        height, width = caps.get_value("height"), caps.get_value("width")
        # Rows are padded to a multiple of four bytes.
        rows = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        rows = rows.reshape(height, -1)
        if caps.get_value("format") == PACKED:
            return unpacked_rows(rows, width)
        dtype, channels = FORMATS[caps.get_value("format")]
        rows = rows[:, : width * channels * dtype.itemsize]
        image: Pixels = np.ascontiguousarray(rows).view(dtype)
        return image.reshape(height, width, channels) if channels > 1 else image


def unpacked_rows(rows: NDArray[np.uint8], width: int) -> NDArray[np.uint16]:
    """Rows of `PACKED` as pixels (H, W) of 0 to 1023.

    Args:
        rows: (H, bytes of a row).
        width: W.
    """
    words = rows.view("<u4")[..., None] >> np.array([0, 10, 20], np.uint32)
    pixels: NDArray[np.uint16] = (words & 1023).astype(np.uint16).reshape(len(rows), -1)
    return np.ascontiguousarray(pixels[:, :width])


def import_gst() -> Any:
    """The module `Gst`, ready to use.

    Raises:
        SourceError: PyGObject or GStreamer is not installed.
    """
    try:
        gi = importlib.import_module("gi")
        gi.require_version("Gst", "1.0")
        gst = importlib.import_module("gi.repository.Gst")
        gst.init(None)
    except (ImportError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and not absent(error, "gi", "gi.repository.Gst"):
            raise SourceError(f"a pipeline: {broken('PyGObject', error)}") from error
        raise SourceError(
            f"a pipeline needs PyGObject and GStreamer ({error}): sudo apt install python3-gi "
            "gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base, and a virtual environment with "
            "--system-site-packages"
        ) from None
    return gst
