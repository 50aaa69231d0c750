"""A film of pictures, each shown when it was taken: written by FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from denet.marks import OutputKind
from denet.reading import open_regular
from runtime.node.errors import NodeError
from runtime.node.sources.decoding import import_av

TICKS = 90_000
"""Of a second, in which times are written."""

CODECS = ("libx264", "mpeg4")
"""The first that FFmpeg has here."""

OWN = "made by denet track"
"""In the metadata of a film."""

AFTER = 1 << 16
"""Bytes at the end and the beginning of a file in which its metadata stands."""


def write_film(path: Path, pictures: Iterable[tuple[float, Image.Image]]) -> None:
    """Write an MP4.

    Args:
        path: of the file, whatever its suffix.
        pictures: seconds from the beginning, rising, and RGB pictures of one even size.

    Raises:
        NodeError: FFmpeg cannot encode here.
        OSError: the file cannot be written.
    """
    av = import_av()
    codec = _codec(av)
    try:
        with av.open(str(path), "w", format="mp4") as container:
            container.metadata["comment"] = OWN
            stream: Any = None
            last = -1
            for time, picture in pictures:
                if stream is None:
                    stream = _stream(container, codec, picture.size)
                frame = av.VideoFrame.from_image(picture)
                last = max(last + 1, round(time * TICKS))
                frame.pts, frame.time_base = last, Fraction(1, TICKS)
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode())
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
            raise OSError(error.errno, error.strerror) from None
        raise NodeError(f"{path.name}: FFmpeg cannot encode it: {error}") from None


def _codec(av: Any) -> str:
    for name in CODECS:
        try:
            av.codec.Codec(name, "w")
        except ValueError:  # UnknownCodecError
            continue
        return name
    raise NodeError(f"FFmpeg has none of {', '.join(CODECS)} here: take --out NAME.csv")


def _stream(container: Any, codec: str, size: tuple[int, int]) -> Any:
    stream = container.add_stream(codec, rate=30)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS)
    stream.time_base = Fraction(1, TICKS)
    if codec == "libx264":
        stream.options = {"crf": "23", "preset": "veryfast"}
    else:
        stream.bit_rate = 6_000_000
    return stream


def _is_own(path: Path) -> bool:
    """Whether a film says that `denet track` made it."""
    with open_regular(path) as stream:
        head = stream.read(AFTER)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - AFTER))
        tail = stream.read(AFTER)
    return head[4:8] == b"ftyp" and OWN.encode() in head + tail


FILM = OutputKind(".mp4", "a film is", "a film that `denet track` wrote", _is_own, private=True)
