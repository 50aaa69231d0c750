"""What the workers of a fleet do, and when each camera was heard last, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

import psycopg

from runtime.fleet.errors import FleetError
from runtime.fleet.running import FleetSnapshot
from runtime.fleet.settings import FleetMetricsSettings, FleetSettings
from runtime.node.metrics_server import MetricsServer
from runtime.postgres.address import Address
from runtime.postgres.connecting import connect


class FleetMetrics(MetricsServer):
    """Serves them over HTTP, at /metrics, until it is closed.

    Args:
        settings: where.
        take: takes a snapshot of the workers.
        archive: is asked for the cameras whenever someone asks; while it is away they are missing.

    Raises:
        FleetError: prometheus-client is not installed, or the address cannot be had.
    """

    def __init__(
        self, settings: FleetMetricsSettings, take: Callable[[], FleetSnapshot], archive: Address
    ) -> None:
        super().__init__(settings.host, settings.port, _Collector(take, archive), FleetError)


def served_metrics(
    settings: FleetSettings, take: Callable[[], FleetSnapshot]
) -> AbstractContextManager[object]:
    """Metrics for as long as something is done, where the configuration wants them.

    Raises:
        FleetError: as `FleetMetrics`.
    """
    if settings.metrics is None:
        return nullcontext()
    return closing(FleetMetrics(settings.metrics, take, settings.archive.address))


class _Collector:
    """What the library asks for metrics."""

    def __init__(self, take: Callable[[], FleetSnapshot], archive: Address) -> None:
        self._take, self._archive = take, archive

    def describe(self) -> list[Any]:
        """Nothing: the archive is not asked before somebody wants to know."""
        return []

    def collect(self) -> Iterator[Any]:
        """The metrics of the moment."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        snapshot = self._take()
        counts = snapshot.counts
        for name, text, value in (
            ("received", "Messages that came and were acknowledged.", counts.received),
            ("stored", "Events that were new.", counts.stored),
            ("again", "Events that were there already.", counts.again),
            ("refused", "Messages that were set aside.", counts.aside),
            ("forgotten", "Tracks that were too old or too much.", snapshot.forgotten),
            ("failures", "Errors that ended the work of a worker.", snapshot.failures),
        ):
            yield CounterMetricFamily(f"denet_fleet_{name}", text, value=value)
        away = bool(snapshot.away)
        text = "Whether the broker or the archive cannot be reached."
        yield GaugeMetricFamily("denet_fleet_away", text, value=away)
        told = GaugeMetricFamily(
            "denet_fleet_camera_told_seconds", "Time of the last event.", labels=["camera"]
        )
        late = GaugeMetricFamily(
            "denet_fleet_camera_late_seconds", "How late its last event came.", labels=["camera"]
        )
        aside = GaugeMetricFamily("denet_fleet_set_aside", "Messages that are set aside now.")
        try:
            with connect(self._archive) as connection:
                rows = connection.execute("SELECT node, told, late FROM cameras").fetchall()
                row = connection.execute("SELECT count(*) FROM aside").fetchone()
        except psycopg.Error:  # which the workers tell
            return
        for camera, time, seconds in rows:
            told.add_metric([camera], time)
            late.add_metric([camera], seconds)
        aside.add_metric([], 0 if row is None else row[0])
        yield from (told, late, aside)
