"""Serves the page: what is asked for is answered from the archive, by one who may only read."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import psycopg

from denet.errors import DenetError
from runtime.fleet.errors import FleetError
from runtime.fleet.page.facts import cameras_shown, latest_shown, way_shown
from runtime.fleet.page.search import read_dropped, search_shown
from runtime.fleet.settings import FleetSettings
from runtime.fleet.tables import require
from runtime.gallery.scores import Scores
from runtime.node.status.paths import HEADERS
from runtime.node.web import NOT_HERE, Answer, WebServer
from runtime.postgres.connecting import Connection, connect, reason
from runtime.runtime import Runtime

ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}

SHOWN = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace(
        "img-src 'self'", "img-src 'self' data:"
    )
}
"""Beside what is served, a picture that somebody drops is shown."""

LARGEST = 4_000_000
"""Bytes of a question with pictures."""

PATIENCE = 10
"""Seconds that one question to the archive may take: the next one waits for it."""


class FleetPage:
    """The page of a fleet.

    Args:
        settings: of the fleet.
        file: of the scores by which tracks are compared.
        runtime: that embeds pictures; None if the configuration names no bundle.
        scores: of its embeddings.

    Raises:
        FleetError: the page cannot be where it is asked for.
    """

    def __init__(
        self, settings: FleetSettings, file: Path, runtime: Runtime | None, scores: Scores | None
    ) -> None:
        self._address = settings.archive.address
        self._file = file
        self._runtime, self._scores = runtime, scores
        self._connection: Connection | None = None
        host, port = settings.page.host, settings.page.port
        try:
            self._server = WebServer(
                "fleet page", host, port, self._get, SHOWN, self._take, LARGEST
            )
        except OSError as error:
            raise FleetError(f"page: {host}:{port}: {error.strerror or error}") from None
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.port}/"

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.close()
        self._lose()

    def _get(self, path: str) -> Answer:
        if path in ASSETS:
            name, kind = ASSETS[path]
            return Answer(200, kind, files(__package__).joinpath(name).read_bytes())
        if path == "/icon.svg":  # that of a node's page
            icon = files("runtime.node.status").joinpath("icon.svg").read_bytes()
            return Answer(200, "image/svg+xml", icon)
        parts = [unquote(part) for part in path.split("/")[1:]]
        if any("\0" in part for part in parts):
            return NOT_HERE
        if parts == ["cameras"]:
            return self._answered(self._overview)
        if parts[0] == "way" and len(parts) == 2:
            return self._answered(lambda connection: way_shown(connection, parts[1], self._file))
        if parts[0] == "picture" and len(parts) == 3:
            return self._picture(parts[1], parts[2])
        return NOT_HERE

    def _take(self, path: str, body: bytes) -> Answer:
        if path != "/search":
            return NOT_HERE
        runtime, scores = self._runtime, self._scores

        def found(connection: Connection) -> dict[str, Any]:
            if runtime is None or scores is None:
                raise FleetError("the configuration names no questions.bundle to search with")
            return search_shown(connection, runtime, scores, read_dropped(body))

        return self._answered(found)

    def _overview(self, connection: Connection) -> dict[str, Any]:
        now = time.time()
        sensors = () if self._runtime is None else self._runtime.graph.states[0].available
        return {
            "now": now,
            "modalities": list(sensors),
            "cameras": cameras_shown(connection, now),
            "tracks": latest_shown(connection),
        }

    def _picture(self, key: str, modality: str) -> Answer:
        try:
            row = (
                self._connected()
                .execute(
                    "SELECT jpeg FROM pictures WHERE track = %s AND modality = %s AND number = 0",
                    (key, modality),
                )
                .fetchone()
            )
        except (psycopg.Error, FleetError):
            self._lose()
            row = None
        return NOT_HERE if row is None else Answer(200, "image/jpeg", bytes(row[0]))

    def _answered(self, ask: Any) -> Answer:
        """What a question gives, or in one line why it gives nothing."""
        try:
            status, facts = 200, ask(self._connected())
        except psycopg.Error as error:
            self._lose()
            status, facts = 503, {"error": f"{self._address.name}: {reason(error)}"}
        except DenetError as error:
            status, facts = 400, {"error": str(error)}
        return Answer(status, "application/json", msgspec.json.encode(facts))

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self._address)
            try:
                require(connection, self._address)
                connection.execute("SET default_transaction_read_only = on")
                connection.execute(f"SET statement_timeout = '{PATIENCE}s'")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _lose(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
