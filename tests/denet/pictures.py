"""Image files that Pillow cannot write: colour of 16 bits, and grey with alpha."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

KINDS = {0: 0, 1: 0, 2: 4, 3: 2, 4: 6}
"""The colour type of a PNG, by its channels; 0 for an array without any."""

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
"""First row and column, and their steps, of the passes of an interlaced PNG but for the last."""


def write_png(path: Path, values: NDArray[Any], *, interlaced: bool = False) -> Path:
    """A PNG of 16 bits as the standard says, without filters."""
    height, width = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 0
    passes = (*ADAM7, (1, 0, 2, 1)) if interlaced else ((0, 0, 1, 1),)
    rows = [
        b"\0" + np.ascontiguousarray(row.astype(">u2")).tobytes()
        for top, left, down, across in passes
        for row in values[top::down, left::across]
        if row.size
    ]
    header = struct.pack(">IIBBBBB", width, height, 16, KINDS[channels], 0, 0, interlaced)
    body = zlib.compress(b"".join(rows))
    parts = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))
    return path


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def write_by_ffmpeg(path: Path, values: NDArray[Any], form: str, **options: str) -> Path:
    """An image of 16 bits from another library; the codec is called as the file's extension."""
    av = pytest.importorskip("av")
    height, width = values.shape[:2]
    with av.open(str(path), "w", format="image2") as writer:
        stream = writer.add_stream(path.suffix[1:], rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, form
        frame = av.VideoFrame(width, height, form)
        plane = frame.planes[0]
        rows = np.zeros((height, plane.line_size // 2), ">u2" if form.endswith("be") else "<u2")
        rows[:, : values.size // height] = values.reshape(height, -1)
        plane.update(rows.tobytes())
        frame.pts = 0
        writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return path
