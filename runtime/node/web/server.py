"""Serves a few small answers to a few at once, whoever else connects and does nothing.

One thread has all connections, so their number costs no threads. A connection is for one request,
and has a few seconds for all of it; when there are too many, the one that has had most of them goes
for the next. So who opens many and lets them drip takes the places from each other.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Mapping

from runtime.node.stage import POLL, Beat, Stage
from runtime.node.web.request import Answer, Take, answered, body_length, names_of

CONNECTIONS = 32
"""That are open at once."""

LIFETIME = 5.0
"""Seconds of a connection, from its beginning to the last byte of the answer."""

LARGEST = 16_384
"""Bytes of a request."""

END = b"\r\n\r\n"

HEADERS = {
    "Cache-Control": "no-store",
    # Other sites in the same browser can neither show nor read any of it.
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: what a node shows is for nobody else."""

TOO_MUCH = b"HTTP/1.0 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

FAILED = b"HTTP/1.0 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"

TOO_LARGE = b"HTTP/1.0 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n"


class WebServer:
    """Answers GET requests until it is closed, and what is sent to it if that is wanted.

    Attributes:
        port: where.
        stage: its thread.

    Args:
        name: of what is served, for messages.
        host: the address to listen on, or a name that has one.
        port: 0 for any that is free.
        answer: gives what is at a path, in this server's thread.
        headers: of every answer, beside `HEADERS`.
        take: answers what is sent to a path (POST), in this server's thread; None to take nothing.
        largest_body: bytes of what is sent, at most.

    Raises:
        OSError: the address cannot be had.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        answer: Callable[[str], Answer],
        headers: Mapping[str, str] | None = None,
        take: Take | None = None,
        largest_body: int = 0,
    ) -> None:
        self._answer, self._names = answer, names_of(host)
        self._take, self._largest_body = take, largest_body
        self._headers = HEADERS | dict(headers or {})
        self._listener = _listener(host, port)
        self.port = int(self._listener.getsockname()[1])
        self._open: dict[socket.socket, _Connection] = {}  # the oldest first
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = False
        self.stage = Stage(name, self._serve)

    def start(self) -> None:
        """Begin."""
        self.stage.start()

    def close(self) -> None:
        """Let go of the address and of all connections."""
        self._closed = True
        self.stage.stop()
        if self.stage.join(2.0 + 2 * POLL):
            for stream in list(self._open):
                self._drop(stream)
            self._selector.close()
        self._listener.close()

    def _serve(self, beat: Beat) -> None:
        while not self._closed:
            beat()
            now = time.monotonic()
            for late in [s for s, each in self._open.items() if each.end <= now]:
                self._drop(late)
            ready = [key.fileobj for key, _ in self._selector.select(self._rest(now))]
            # Whoever has asked goes before whoever comes.
            for stream in ready:
                if isinstance(stream, socket.socket) and stream is not self._listener:
                    self._go_on(stream)
            if self._listener in ready:
                self._accept()

    def _rest(self, now: float) -> float:
        oldest = next(iter(self._open.values()), None)
        return POLL if oldest is None else max(0.0, min(POLL, oldest.end - now))

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError:  # it has gone already; or there are too many files: one less, then
            if self._open:
                self._drop(next(iter(self._open)))
            time.sleep(0.01)
            return
        stream.setblocking(False)
        if len(self._open) == CONNECTIONS:
            self._drop(next(iter(self._open)))
        self._open[stream] = _Connection(time.monotonic() + LIFETIME)
        self._selector.register(stream, selectors.EVENT_READ)

    def _go_on(self, stream: socket.socket) -> None:
        """Read what has come, or write what there is room for; never waits."""
        connection = self._open[stream]
        try:
            done = self._read(stream, connection) if connection.answer is None else False
            if not done and connection.answer is not None:
                done = _write(stream, connection)
        except BlockingIOError:
            return
        except OSError:  # a browser that goes away is no news
            done = True
        if done:
            self._drop(stream)

    def _read(self, stream: socket.socket, connection: _Connection) -> bool:
        """Take in a part of the request; whether there is nobody any more."""
        part = stream.recv(LARGEST)
        connection.request += part
        end = connection.request.find(END)
        if end >= 0:
            whole = end + 4 + self._body_length(bytes(connection.request[: end + 4]))
            if whole > end + 4 + self._largest_body:
                connection.answer = memoryview(TOO_MUCH)
            elif len(connection.request) < whole:
                return not part
            else:
                connection.answer = memoryview(self._answered(bytes(connection.request[:whole])))
                # What it took to find the answer is not the client's to make up for.
                connection.end = time.monotonic() + LIFETIME
                self._open[stream] = self._open.pop(stream)
        elif len(connection.request) > LARGEST:
            connection.answer = memoryview(TOO_LARGE)
        else:
            return not part
        self._selector.modify(stream, selectors.EVENT_WRITE)
        return False

    def _body_length(self, head: bytes) -> int:
        """Of a request; more than is taken if it is told wrongly."""
        if self._take is None:
            return 0
        length = body_length(head)
        return self._largest_body + 1 if length < 0 else length

    def _answered(self, request: bytes) -> bytes:
        try:
            return answered(request, self._names, self._headers, self._answer, self._take)
        except Exception as error:  # one page may fail while others do not
            self.stage.note(error)
            return FAILED

    def _drop(self, stream: socket.socket) -> None:
        del self._open[stream]
        self._selector.unregister(stream)
        stream.close()


class _Connection:
    """What has come and what is to go: `answer` is None until the request is whole."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.request = bytearray()
        self.answer: memoryview | None = None


def _write(stream: socket.socket, connection: _Connection) -> bool:
    """Send a part of the answer; whether that was the last."""
    assert connection.answer is not None
    connection.answer = connection.answer[stream.send(connection.answer) :]
    if connection.answer:
        return False
    stream.shutdown(socket.SHUT_WR)
    return True


def _listener(host: str, port: int) -> socket.socket:
    if not host.strip():  # the system would take it for all of its addresses
        raise OSError(None, "host is empty: write 127.0.0.1, or 0.0.0.0 for all addresses")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OverflowError, UnicodeError) as error:
        raise OSError(None, str(error)) from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(CONNECTIONS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
