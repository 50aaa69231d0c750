"""Looks for a server that was away, while the node's own bundle embeds."""

from __future__ import annotations

import threading
from dataclasses import replace

from denet.errors import DenetError
from runtime.gallery import Gallery
from runtime.node.backoff import Backoff
from runtime.node.embedder import Embedder
from runtime.node.notify import Notify
from runtime.node.serving import connect_serving
from runtime.node.settings import NodeSettings
from runtime.node.stage import POLL, Beat, Stage
from runtime.serve.address import read_server_address

CALLS = 2
"""Of a connection: what the server has, and an inference."""


class ServerWatch:
    """A thread that connects to the server again, after waits that double up to 30 s. Whether it is
    back an inference tells: it says that it is ready before, and after.

    Attributes:
        stage: the thread.

    Args:
        settings: the configuration.
        server: its address.
        gallery: whom the node knows.
        embedder: is offered the server once it is back.
        notify: told why it is not, where that changes.
    """

    def __init__(
        self,
        settings: NodeSettings,
        server: str,
        gallery: Gallery | None,
        embedder: Embedder,
        notify: Notify,
    ) -> None:
        self._settings, self._server, self._gallery = settings, server, gallery
        self._embedder, self._notify = embedder, notify
        self._stopped = threading.Event()
        self._backoff = Backoff()
        self._said = ""
        timeout = read_server_address(server).timeout
        self.stage = Stage("server", self._run, patience=CALLS * timeout)

    def stop(self) -> None:
        """End after what is under way."""
        self._stopped.set()
        self.stage.stop()

    def look(self) -> bool:
        """Connect to the server if the own bundle embeds in its place; whether it still does."""
        serving = self._embedder.serving
        if not serving.away:
            return False
        own = replace(serving, away="")
        try:
            found = connect_serving(self._settings, self._server, self._gallery, own)
        except DenetError as error:
            if str(error) not in (self._said, serving.away):
                self._notify(f"the server is away: {error}")
            self._said = str(error)
            return True
        self._said = ""
        self._embedder.offer(found, before=serving)
        return False

    def _run(self, beat: Beat) -> None:
        wait = 0.0
        while not self._stopped.wait(POLL):
            beat()
            wait -= POLL
            if wait > 0:
                continue
            if self.look():
                wait = self._backoff.next()
            else:
                self._backoff.reset()
                wait = 1.0
