"""The status page: read-only, of standard parts, and idle while nobody looks."""

from __future__ import annotations

from functools import partial

from denet.graph import Modality
from runtime.node.sources.frame import Pixels
from runtime.node.stage import Stage
from runtime.node.status.paths import HEADERS, shown
from runtime.node.status.settings import StatusError, StatusSettings
from runtime.node.status.snapshot import StatusSnapshot
from runtime.node.status.thumbnail import thumbnail
from runtime.node.web import WebServer


class StatusPage:
    """Serves the newest snapshot over HTTP, in a thread of its own.

    Args:
        settings: where.
    """

    def __init__(self, settings: StatusSettings) -> None:
        self._settings = settings
        self._server: WebServer | None = None
        self.snapshot: StatusSnapshot | None = None
        self._drawn: dict[tuple[str, Modality], tuple[Pixels, bytes]] = {}

    @property
    def url(self) -> str:
        """Where it is; its port is known after `start`."""
        host = self._settings.host
        port = self._settings.port if self._server is None else self._server.port
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def stages(self) -> list[Stage]:
        """Its thread, after `start`."""
        return [] if self._server is None else [self._server.stage]

    def start(self) -> None:
        """Begin to serve.

        Raises:
            StatusError: it cannot be there.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._server = WebServer("status page", host, port, partial(shown, self), HEADERS)
        except OSError as error:
            raise StatusError(f"status page: {host}:{port}: {error.strerror or error}") from None
        self._server.start()

    def update(self, snapshot: StatusSnapshot) -> None:
        """Show this from now on. It takes no time: nothing is copied or drawn."""
        self.snapshot = snapshot

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def picture(self, head: str, modality: Modality) -> bytes | None:
        """A JPEG of the newest frame of a sensor of a head; drawn once for all who look."""
        heads = () if self.snapshot is None else self.snapshot.heads
        frame = next((h.frames.get(modality) for h in heads if h.name == head), None)
        if frame is None:
            return None
        drawn = self._drawn.get((head, modality))
        if drawn is None or drawn[0] is not frame:
            drawn = self._drawn[head, modality] = frame, thumbnail(frame)
        return drawn[1]

    def person(self, number: int) -> bytes | None:
        """The picture of that number of somebody who was seen, as long as it is kept."""
        people = (self.snapshot and self.snapshot.people) or ()
        return next((each.picture for each in people if each.number == number), None)
