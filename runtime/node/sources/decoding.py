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

import numpy as np

from denet.packages import absent, broken
from denet.secrets import redacted
from runtime.node.sources.frame import Pixels, SourceError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

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
            if video_of(container) is None:
                raise SourceError(f"{redacted(address)}: has a cover picture, and no video")
            yield container
    except UnicodeEncodeError:  # PyAV before 18 takes options in ASCII alone
        raise SourceError(
            f"{redacted(address)}: the address or an option of it has letters that PyAV cannot "
            "pass on: write them in ASCII"
        ) from None
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"{redacted(address)}: {_reason(error, av, timeout)}") from None


def video_of(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures: not a cover, whatever comes first; None if there is none."""
    attached = import_av().stream.Disposition.attached_pic
    moving = [s for s in container.streams.video if not s.disposition & attached]
    if len(moving) > 1:
        # FFmpeg's choice is that of most pictures.
        best: Any = container.streams.best("video")
        if best in moving:
            return best  # type: ignore[no-any-return]
    return moving[0] if moving else None


def decoded(container: InputContainer, *, live: bool) -> Iterator[tuple[float | None, Decoded]]:
    """Each picture with its time stamp in seconds, as far as it has one.

    What follows a damaged picture is made from it, so it is damaged, too, until a key frame; the
    decoder hides that and does not tell.

    Args:
        container: what `opened` gives.
        live: the pictures are wanted soonest rather than fastest.
    """
    av = import_av()
    stream = video_of(container)
    assert stream is not None
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
                yield frame.time, upright(pixels(frame), frame.rotation)
            else:
                yield frame.time, "made from a damaged picture"


def pixels(frame: VideoFrame) -> Decoded:
    """(H, W) of a grey picture, uint8 or uint16 with the values that are stored: 0 to 1023 of 10
    bits. (H, W, 3) uint8 of another."""
    components = frame.format.components
    bits = components[0].bits
    if frame.format.name.startswith("ya16"):
        return frame.to_ndarray(format="gray16le")
    if len(components) > 1:
        return frame.to_ndarray(format="rgb24")
    if bits <= 8:
        return frame.to_ndarray(format="gray")
    if bits > 16:
        return f"{frame.format.name}: values of {bits} bits, of which nobody says what they mean"
    # As it is: a conversion would stretch the values to 16 bits.
    return frame.to_ndarray().astype(np.uint16, copy=False)


def upright(picture: Decoded, rotation: int) -> Decoded:
    """A picture as it is to be shown.

    Args:
        picture: its pixels, or why it has none.
        rotation: degrees counterclockwise, as a camera that was held sideways writes; what is no
            multiple of 90 is left.
    """
    if isinstance(picture, str) or rotation % 360 == 0 or rotation % 90:
        return picture
    return np.ascontiguousarray(np.rot90(picture, rotation // 90))


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
