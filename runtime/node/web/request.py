"""One request and its answer, as bytes."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What a request gets.

    Attributes:
        status: of HTTP.
        kind: its Content-Type.
        content: the body.
        headers: beside those.
    """

    status: int
    kind: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Take = Callable[[str, bytes], Answer]
"""Answers the body that is sent to a path (POST)."""

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)

NOT_HERE = Answer(404, "text/plain; charset=utf-8", b"not here\n")


def names_of(host: str) -> frozenset[str]:
    """What a server on `host` may be called in requests, beside any address: in lower case."""
    return frozenset({"localhost", socket.gethostname().lower(), host.lower()})


def body_length(head: bytes) -> int:
    """Bytes of the body that a request says it has; 0 if it says nothing, -1 if that is no number.

    Args:
        head: the lines of the request up to the empty one.
    """
    found = LENGTH.search(head)
    if found is None:
        return 0
    return int(found[1]) if found[1].isdigit() and len(found[1]) < 16 else -1


def answered(
    request: bytes,
    names: frozenset[str],
    headers: Mapping[str, str],
    answer: Callable[[str], Answer],
    take: Take | None = None,
) -> bytes:
    """The answer to a request, as it goes over the line.

    Args:
        request: its lines up to the empty one, and its body.
        names: of the server; a request that calls it otherwise is refused.
        headers: of every answer, errors included.
        answer: gives what is at a path.
        take: answers what is sent to a path; None to take nothing.
    """
    return _Handler(request, names, headers, answer, take).answer


class _Handler(BaseHTTPRequestHandler):
    """The standard library's, which reads a request and writes an answer here without a socket."""

    server_version, sys_version = "denet", ""

    def __init__(
        self,
        request: bytes,
        names: frozenset[str],
        headers: Mapping[str, str],
        answer: Callable[[str], Answer],
        take: Take | None,
    ) -> None:
        self._names, self._headers, self._content, self._take = names, headers, answer, take
        self.raw = request
        self.rfile, self.wfile = BytesIO(request), BytesIO()
        self.client_address = ("", 0)
        self.close_connection = True
        self.handle_one_request()
        self.answer = self.wfile.getvalue()

    def do_GET(self) -> None:
        """Answer."""
        if self._is_called_rightly():
            self._send(self._content(urlsplit(self.path).path))

    def do_POST(self) -> None:
        """Answer what is sent, by a page of this server."""
        if self._take is None:
            self.send_error(501, "Unsupported method ('POST')")
        elif self._is_called_rightly():
            origin, host = self.headers.get("Origin"), self.headers.get("Host", "")
            if origin is not None and urlsplit(origin).netloc != host:
                self._send(Answer(403, "text/plain; charset=utf-8", b"of another site\n"))
                return
            body = self.rfile.read(max(0, body_length(self.raw)))
            self._send(self._take(urlsplit(self.path).path, body))

    def _is_called_rightly(self) -> bool:
        # A site whose name is made to lead here would be of one origin with this server, and could
        # read it: a browser tells which name it went to. No site has an address for a name.
        host = _name(self.headers.get("Host", ""))
        if not (host in self._names or _is_address(host)):
            text = b"not a name of this node: ask for it by its address, or set host to the name\n"
            self._send(Answer(421, "text/plain; charset=utf-8", text))
            return False
        return True

    def log_message(self, *_: object) -> None:
        """Nothing: requests are no news."""

    def end_headers(self) -> None:
        """To every answer, errors included."""
        for name, value in self._headers.items():
            self.send_header(name, value)
        super().end_headers()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets; "" if it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
