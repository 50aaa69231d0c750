"""Serves metrics for Prometheus, through its client library."""

from __future__ import annotations

from typing import Any

from denet.errors import DenetError
from denet.packages import absent, broken
from runtime.node.stage import Stage
from runtime.node.web import NOT_HERE, Answer, WebServer


class MetricsServer:
    """Serves what a collector gives over HTTP, at /metrics, until it is closed.

    Attributes:
        port: where.
        stages: its thread.

    Args:
        host, port: where; port 0 is any that is free.
        collector: what the library asks for metrics, whenever someone asks; in a thread of its own.
        error: to raise.

    Raises:
        error: prometheus-client is not installed, or the address cannot be had.
    """

    def __init__(self, host: str, port: int, collector: Any, error: type[DenetError]) -> None:
        try:
            from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        except ImportError as missing:
            if not absent(missing, "prometheus_client"):
                raise error(f"[metrics]: {broken('prometheus-client', missing)}") from missing
            raise error("[metrics] needs prometheus-client: pip install '.[node]'") from None
        registry = CollectorRegistry()
        registry.register(collector)

        def answer(path: str) -> Answer:
            if path not in ("/", "/metrics"):
                return NOT_HERE
            return Answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))

        try:
            self._server = WebServer("metrics", host, port, answer)
        except OSError as refused:
            raise error(f"metrics: {host}:{port}: {refused.strerror or refused}") from None
        self.port = self._server.port
        self.stages: list[Stage] = [self._server.stage]
        self._server.start()

    def close(self) -> None:
        """Let go of the address."""
        self._server.close()
