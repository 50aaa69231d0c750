"""The status page: read-only, of standard parts, and idle while nobody looks."""

from __future__ import annotations

import socket
import threading
from functools import partial
from http.server import ThreadingHTTPServer

from denet.graph import Modality
from runtime.node.sources.frame import Pixels
from runtime.node.status.handler import Handler
from runtime.node.status.settings import StatusError, StatusSettings
from runtime.node.status.snapshot import StatusSnapshot
from runtime.node.status.thumbnail import thumbnail

POLL = 0.1
"""Seconds after which the server sees that it is to stop."""


class StatusPage:
    """Serves the newest snapshot over HTTP, in threads of its own.

    Args:
        settings: where.
    """

    def __init__(self, settings: StatusSettings) -> None:
        self._settings = settings
        self._server: _Server | None = None
        self.snapshot: StatusSnapshot | None = None
        self._drawing = threading.Lock()
        self._drawn: dict[Modality, tuple[Pixels, bytes]] = {}

    @property
    def url(self) -> str:
        """Where it is; its port is known after `start`."""
        host = self._settings.host
        port = self._settings.port if self._server is None else self._server.server_port
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def start(self) -> None:
        """Begin to serve.

        Raises:
            StatusError: it cannot be there.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._server = _Server((host, port), partial(Handler, self, host.lower()), ":" in host)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StatusError(f"status page: {host}:{port}: {reason}") from None
        threading.Thread(
            target=self._server.serve_forever, args=(POLL,), name="status page", daemon=True
        ).start()

    def update(self, snapshot: StatusSnapshot) -> None:
        """Show this from now on. It takes no time: nothing is copied or drawn."""
        self.snapshot = snapshot

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def picture(self, modality: Modality) -> bytes | None:
        """A JPEG of the newest frame of a sensor; drawn once for all who look."""
        snapshot = self.snapshot
        frame = None if snapshot is None else snapshot.frames.get(modality)
        if frame is None:
            return None
        with self._drawing:
            drawn = self._drawn.get(modality)
            if drawn is None or drawn[0] is not frame:
                drawn = self._drawn[modality] = frame, thumbnail(frame)
            return drawn[1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    most = 8

    def __init__(self, address: tuple[str, int], handler: partial[Handler], ipv6: bool) -> None:
        self.address_family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._places = threading.BoundedSemaphore(self.most)
        super().__init__(address, handler)

    def process_request(self, request, client_address):  # type: ignore[no-untyped-def]
        """A thread for it, unless there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address):  # type: ignore[no-untyped-def]
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request, client_address):  # type: ignore[no-untyped-def]
        """A browser that goes away is no news."""
