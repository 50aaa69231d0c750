"""Answers one request for the status page or a part of it."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import urlsplit

from denet.graph import Modality
from runtime.node.status.snapshot import StatusSnapshot
from runtime.node.status.view import view

ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

PICTURE = re.compile("/([^/]+)[.]jpg")
"""The newest frame of a modality."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # Other sites in the same browser can neither show nor read any of it.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class PageSource(Protocol):
    """What is shown."""

    @property
    def snapshot(self) -> StatusSnapshot | None: ...

    def picture(self, modality: Modality) -> bytes | None: ...


class Handler(BaseHTTPRequestHandler):
    """Gives the page, its script and style, the snapshot, and the pictures; takes nothing.

    Args:
        source: what to show.
        host: the address that the server listens on, in lower case.
    """

    timeout = 5.0
    server_version, sys_version = "denet", ""

    def __init__(self, source: PageSource, host: str, *request: Any) -> None:
        self._source, self._host = source, host
        super().__init__(*request)

    def do_GET(self) -> None:
        """Answer."""
        # A site whose name is made to lead here would be of one origin with this page, and could
        # read it: a browser tells which name it went to.
        if _name(self.headers.get("Host", "")) not in LOOPBACK | {self._host}:
            self._answer(421, b"not a name of this node\n", "text/plain; charset=utf-8")
            return
        path = urlsplit(self.path).path
        if path in ASSETS:
            name, kind = ASSETS[path]
            self._answer(200, files(__package__).joinpath(name).read_bytes(), kind)
        elif path == "/snapshot":
            self._answer(200, view(self._source.snapshot), "application/json")
        elif (picture := self._picture(path)) is not None:
            self._answer(200, picture, "image/jpeg")
        else:
            self._answer(404, b"not here\n", "text/plain; charset=utf-8")

    def log_message(self, *_: object) -> None:
        """Nothing: requests are no news."""

    def end_headers(self) -> None:
        """To every answer, errors included."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _picture(self, path: str) -> bytes | None:
        """What is shown at `path`: the picture of a sensor that the node has, or nothing."""
        named = PICTURE.fullmatch(path)
        return None if named is None else self._source.picture(named[1])

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets; "" if it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
