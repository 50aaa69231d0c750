"""Points that a person clicks on a page of this machine: the frames of a moment side by side."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from importlib.resources import files
from io import BytesIO

import msgspec
import numpy as np

from denet.graph import Modality
from runtime.node.align.aligned import align
from runtime.node.align.found import SeenFrames
from runtime.node.align.looking import Moment
from runtime.node.align.overlay import picture_of
from runtime.node.align.points import PointFile
from runtime.node.boxes.homography import REFERENCE
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Pixels
from runtime.node.web import NOT_HERE, Answer, WebServer

HOST = "127.0.0.1"
"""Frames show people, and a calibration decides what a node sees: both are for nobody elsewhere."""

ASSETS = {
    "/": ("click.html", "text/html; charset=utf-8"),
    "/click.css": ("click.css", "text/css; charset=utf-8"),
    "/click.js": ("click.js", "text/javascript; charset=utf-8"),
}
"""What the page itself is; it says nothing of the cameras."""

HEADERS = {  # beside those of the server
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}

LATER = 1.0
"""Seconds to the next moment that is shown."""

QUALITY = 92

FAREWELL = 0.5
"""Seconds in which the last answer reaches the browser."""

JSON = "application/json"

LARGEST = 1 << 20
"""Bytes of points that are told."""

NOT_YOURS = Answer(403, "text/plain; charset=utf-8", b"the token is missing, or another\n")


class ClickPage:
    """Serves frames to whoever has the token, and takes points.

    Args:
        moments: what the cameras see; the first that shows all of them is shown first.
        cameras: that there are.
        within: pixels by which a pair may be off, as of `aligned.align`.
        port: of the page; 0 for any that is free.

    Raises:
        NodeError: the port cannot be had, or no moment shows RGB and another camera.
    """

    def __init__(
        self,
        moments: Iterator[Moment],
        cameras: Mapping[Modality, object],
        within: float | None,
        port: int,
    ) -> None:
        self._moments, self._cameras, self._within = moments, set(cameras), within
        self._seen, self._time = SeenFrames(), float("-inf")
        self._token = secrets.token_urlsafe(24)
        self._points: PointFile | None = None
        self._done = threading.Event()
        if not self._advance():
            raise NodeError(
                f"no moment shows {' and '.join(cameras)} at once: see `denet node check`"
            )
        try:
            self._server = WebServer("align", HOST, port, self._given, HEADERS, self._take, LARGEST)
        except OSError as error:
            raise NodeError(f"--port {port}: {error.strerror or error}: take another") from None

    @property
    def url(self) -> str:
        """With the token, which a browser keeps to itself."""
        return f"http://{HOST}:{self._server.port}/#{self._token}"

    def run(self) -> tuple[PointFile, SeenFrames]:
        """Wait until somebody has clicked points that agree, and says that this is all."""
        self._server.start()
        try:
            while not self._done.wait(0.2):
                pass
            time.sleep(FAREWELL)
        finally:
            self._server.close()
        assert self._points is not None
        return self._points, self._seen

    def _given(self, path: str) -> Answer:
        """What is at a path. All but the page itself stands behind the token."""
        if path in ASSETS:
            name, kind = ASSETS[path]
            return Answer(200, kind, files(f"{__package__}.page").joinpath(name).read_bytes())
        inside = self._inside(path)
        return NOT_YOURS if inside is None else self._shown(inside)

    def _take(self, path: str, body: bytes) -> Answer:
        """What is told."""
        inside = self._inside(path)
        if inside is None:
            return NOT_YOURS
        if inside == "/next":
            return _json({} if self._advance() else {"error": "there is no other moment"})
        if inside in ("/check", "/done"):
            return self._fitted(body, last=inside == "/done")
        return NOT_HERE

    def _inside(self, path: str) -> str | None:
        """What follows the token in a path; None if that is another."""
        given, slash, rest = path.removeprefix("/").partition("/")
        is_right = hmac.compare_digest(given.encode(), self._token.encode())
        return f"/{rest}" if is_right and slash else None

    def _shown(self, path: str) -> Answer:
        if path == "/sizes":
            return _json({m: self._seen.sizes[m] for m in self._seen.frames})
        frame = self._seen.frames.get(path.removeprefix("/").removesuffix(".jpg"))
        return NOT_HERE if frame is None else Answer(200, "image/jpeg", _jpeg(frame))

    def _fitted(self, body: bytes, *, last: bool) -> Answer:
        """What comes out of the points, or why nothing does."""
        try:
            points = msgspec.json.decode(body, type=PointFile)
            for m, size in points.sizes.items():
                if self._seen.sizes.get(m) != size:
                    raise NodeError(f"sizes: {m} has no frames of {size[0]}x{size[1]}")
            found = align(points, self._within)
        except (NodeError, msgspec.MsgspecError, ValueError) as error:
            return _json({"error": str(error)})
        if last:
            self._points = points
            self._done.set()
        told = [each.lines()[0] for each in found.values()]
        return _json({"cameras": [each.facts() for each in found.values()], "told": told})

    def _advance(self) -> bool:
        """Show the next moment of all cameras; whether there is one."""
        for moment in self._moments:
            frames, now = moment
            if now - self._time >= LATER and set(frames) >= self._cameras | {REFERENCE}:
                self._seen.take(moment, telling=True)
                self._time = now
                return True
        return False


def _json(content: object) -> Answer:
    return Answer(200, JSON, msgspec.json.encode(content))


def _jpeg(image: Pixels) -> bytes:
    content = BytesIO()
    picture = picture_of(np.asarray(image))
    (picture if picture.mode in ("L", "RGB") else picture.convert("RGB")).save(
        content, "JPEG", quality=QUALITY
    )
    return content.getvalue()
