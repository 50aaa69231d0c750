"""Compressed video, decoded by FFmpeg through PyAV.

PyAV, because it is kept (a release every few months, with FFmpeg's libraries in wheels for x86-64
and for a Jetson's aarch64) and gives what is needed here and OpenCV's VideoCapture hides: a
stream's time stamps, 16-bit pixels, which frame is damaged, and a limit on every wait.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

from denet.packages import absent, broken
from denet.secrets import redacted
from runtime.node.sources.frame import Pixels, SourceError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

Decoded = Union[Pixels, str]
"""The pixels of a picture, or why it has none."""

REFRESH = 5.0
"""Seconds that pictures after a damaged one are distrusted at most while no key frame comes: a
stream may have none, and refresh itself bit by bit."""


def import_av() -> Any:
    """The package `av`, which only a node with video needs.

    Raises:
        SourceError: it is not installed, or broken.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        if not absent(error, "av"):
            raise SourceError(f"video: {broken('PyAV', error)}") from error
        raise SourceError(f"video needs PyAV ({error}): pip install '.[node]'") from None


@contextmanager
def opened(
    address: str, *, form: str | None, options: Mapping[str, str], timeout: float | None
) -> Iterator[InputContainer]:
    """The container at `address`, closed at the end.

    Args:
        address: a URL, a device or a file.
        form: FFmpeg's name of the format; None to find it out.
        options: for FFmpeg.
        timeout: seconds without data after which opening or reading gives up; None for never.

    Raises:
        SourceError: it cannot be opened; or, inside the context, it broke. What the camera, FFmpeg
            and the system cannot be blamed for is raised as it is.
    """
    av = import_av()
    try:
        with av.open(
            address, format=form, options=dict(options), timeout=timeout, **_lenient(av)
        ) as container:
            if not container.streams.video:
                raise SourceError(f"{redacted(address)}: has no video")
            yield container
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"{redacted(address)}: {_reason(error, av, timeout)}") from None


def decoded(container: InputContainer, *, live: bool) -> Iterator[tuple[float | None, Decoded]]:
    """Each picture with its time stamp in seconds, as far as it has one.

    What follows a damaged picture is made from it, so it is damaged, too, until a key frame; the
    decoder hides that and does not tell.

    Args:
        container: what `opened` gives.
        live: the pictures are wanted soonest rather than fastest.
    """
    av = import_av()
    stream = container.streams.video[0]
    # Threads that work on frames hold each back until others are done.
    stream.thread_type = "SLICE" if live else "AUTO"
    # Otherwise half a JPEG passes for a whole one.
    stream.codec_context.options = {"err_detect": "explode"}
    distrusted = 0.0  # until this moment
    for packet in container.demux(stream):
        stamp = None if packet.pts is None else float(packet.pts * packet.time_base)
        try:
            frames = packet.decode()
        except av.InvalidDataError as error:
            distrusted = time.monotonic() + REFRESH
            yield stamp, f"damaged data: {error.strerror}"
            continue
        for frame in frames:
            if frame.is_corrupt:
                distrusted = time.monotonic() + REFRESH
                yield frame.time, "damaged picture: a part of its data is missing"
            elif frame.key_frame or time.monotonic() >= distrusted:
                distrusted = 0.0
                yield frame.time, pixels(frame)
            else:
                yield frame.time, "made from a damaged picture"


def pixels(frame: VideoFrame) -> Pixels:
    """(H, W) of a grey picture, uint8 or uint16 as it is stored; (H, W, 3) uint8 of another."""
    components = frame.format.components
    if len(components) > 1:
        return frame.to_ndarray(format="rgb24")
    return frame.to_ndarray(format="gray" if components[0].bits <= 8 else "gray16le")


def _lenient(av: Any) -> dict[str, Any]:
    """What makes a title that is not UTF-8 no reason to refuse a video; PyAV 19 always does so, and
    has no such argument any more."""
    wanted = int(av.__version__.partition(".")[0]) < 19
    return {"metadata_errors": "ignore"} if wanted else {}


def _reason(error: Exception, av: Any, timeout: float | None) -> str:
    """What went wrong, for a person; FFmpeg ends a wait with the error of an exit asked for."""
    if timeout is not None and isinstance(error, (av.ExitError, TimeoutError)):
        return f"no data for {timeout:g} s"
    return redacted(str(getattr(error, "strerror", None) or error))
