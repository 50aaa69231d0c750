"""The facts of a node for Prometheus, through its client library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from runtime.node.errors import NodeError
from runtime.node.facts import Facts
from runtime.node.health.verdict import FAULTS
from runtime.node.latency import BOUNDS
from runtime.node.settings import MetricsSettings


class Metrics:
    """Serves the facts of a node over HTTP until it is closed.

    Attributes:
        port: where.

    Args:
        settings: where.
        facts: tells them, whenever someone asks.

    Raises:
        NodeError: prometheus-client is not installed, or the address cannot be had.
    """

    def __init__(self, settings: MetricsSettings, facts: Callable[[], Facts]) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise NodeError(
                "[metrics] needs prometheus-client: pip install '.[node]'"
            ) from None
        registry = CollectorRegistry()
        registry.register(_Collector(facts))
        try:
            self._server, self._thread = start_http_server(
                settings.port, settings.host, registry=registry
            )
        except OSError as error:
            raise NodeError(
                f"metrics: {settings.host}:{settings.port}: {error.strerror or error}"
            ) from None
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Let go of the address."""
        self._server.shutdown()
        self._server.server_close()


class _Collector:
    """What the library asks for metrics."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts

    def describe(self) -> list[Any]:
        """Nothing: there are no facts before the node runs."""
        return []

    def collect(self) -> Iterator[Any]:
        """The metrics of the moment."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        facts = self._facts()
        entered = CounterMetricFamily(
            "denet_entered", "What came, by what it is.", labels=["what", "modality"]
        )
        left = CounterMetricFamily("denet_left", "What went on.", labels=["what", "modality"])
        held = GaugeMetricFamily("denet_held", "What waits.", labels=["what", "modality"])
        dropped = CounterMetricFamily(
            "denet_dropped", "What was given up.", labels=["what", "modality", "reason"]
        )
        accounts = [("frame", m, account) for m, account in facts.frames.items()]
        for what, modality, account in (
            *accounts,
            ("triplet", "", facts.triplets),
            ("crop", "", facts.crops),
        ):
            entered.add_metric([what, modality], account.entered)
            left.add_metric([what, modality], account.left)
            held.add_metric([what, modality], account.held)
            for reason, count in account.dropped.items():
                dropped.add_metric([what, modality, reason], count)
        yield from (entered, left, held, dropped)
        yield from _events(facts)
        healthy = GaugeMetricFamily("denet_healthy", "Of each sensor.", labels=["modality"])
        fault = GaugeMetricFamily("denet_fault", "Of each sensor.", labels=["modality", "fault"])
        if facts.diagnosis is not None:
            for m, verdict in facts.diagnosis.verdicts.items():
                healthy.add_metric([m], verdict.healthy)
                for kind in FAULTS:
                    fault.add_metric([m, kind], verdict.fault == kind)
        yield from (healthy, fault)
        latency = facts.latency
        seconds = HistogramMetricFamily("denet_latency_seconds", "From capture to event.")
        buckets = [(str(b), float(n)) for b, n in zip(BOUNDS, latency.below, strict=True)]
        seconds.add_metric([], [*buckets, ("+Inf", float(latency.count))], latency.total)
        yield seconds
        for name, text, value in (
            ("denet_batches", "Batches that ran.", facts.batches),
            ("denet_matched", "Embeddings in which someone was recognized.", facts.matched),
            ("denet_bundle_swaps", "Bundles that took over.", facts.swaps),
            ("denet_bundle_refusals", "Bundles that were refused.", facts.refused),
        ):
            yield CounterMetricFamily(name, text, value=value)
        yield GaugeMetricFamily("denet_stuck", "Whether a stage is stuck.", value=facts.stuck)


def _events(facts: Facts) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    published = CounterMetricFamily("denet_events_published", "Events.", labels=["sink"])
    delivered = CounterMetricFamily("denet_events_delivered", "Arrived.", labels=["sink"])
    waiting = GaugeMetricFamily("denet_events_waiting", "Waiting.", labels=["sink"])
    connected = GaugeMetricFamily("denet_events_connected", "Can arrive.", labels=["sink"])
    dropped = CounterMetricFamily("denet_events_dropped", "Given up.", labels=["sink", "reason"])
    for counters in facts.events:
        published.add_metric([counters.sink], counters.published)
        delivered.add_metric([counters.sink], counters.delivered)
        waiting.add_metric([counters.sink], counters.waiting)
        connected.add_metric([counters.sink], counters.connected)
        for reason, count in counters.dropped.items():
            dropped.add_metric([counters.sink, reason], count)
    return iter((published, delivered, waiting, connected, dropped))
