"""The counters of a node for Prometheus, through its client library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from runtime.node.errors import NodeError
from runtime.node.health.verdict import FAULTS
from runtime.node.latency import BOUNDS
from runtime.node.metrics_server import MetricsServer
from runtime.node.settings import MetricsSettings
from runtime.node.snapshot import NodeSnapshot
from runtime.node.tracks.snapshot import TracksSnapshot


class Metrics(MetricsServer):
    """Serves what a node is doing over HTTP, at /metrics, until it is closed.

    Args:
        settings: where.
        take: takes a snapshot of the node, whenever someone asks; in a thread of its own.

    Raises:
        NodeError: prometheus-client is not installed, or the address cannot be had.
    """

    def __init__(self, settings: MetricsSettings, take: Callable[[], NodeSnapshot]) -> None:
        super().__init__(settings.host, settings.port, _Collector(take), NodeError)


class _Collector:
    """What the library asks for metrics."""

    def __init__(self, take: Callable[[], NodeSnapshot]) -> None:
        self._take = take

    def describe(self) -> list[Any]:
        """Nothing: there is none before the node runs."""
        return []

    def collect(self) -> Iterator[Any]:
        """The metrics of the moment."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        snapshot = self._take()
        entered = CounterMetricFamily(
            "denet_entered", "What came, by what it is.", labels=["what", "modality"]
        )
        left = CounterMetricFamily("denet_left", "What went on.", labels=["what", "modality"])
        held = GaugeMetricFamily("denet_held", "What waits.", labels=["what", "modality"])
        dropped = CounterMetricFamily(
            "denet_dropped", "What was given up.", labels=["what", "modality", "reason"]
        )
        accounts = [("frame", m, account) for m, account in snapshot.frames.items()]
        for what, modality, account in (
            *accounts,
            ("triplet", "", snapshot.triplets),
            ("crop", "", snapshot.crops),
            *([] if snapshot.tracks is None else [("track", "", snapshot.tracks.account)]),
        ):
            entered.add_metric([what, modality], account.entered)
            left.add_metric([what, modality], account.left)
            held.add_metric([what, modality], account.held)
            for reason, count in account.dropped.items():
                dropped.add_metric([what, modality, reason], count)
        yield from (entered, left, held, dropped)
        yield from _events(snapshot)
        healthy = GaugeMetricFamily("denet_healthy", "Of each sensor.", labels=["modality"])
        fault = GaugeMetricFamily("denet_fault", "Of each sensor.", labels=["modality", "fault"])
        if snapshot.assessment is not None:
            for m, verdict in snapshot.assessment.verdicts.items():
                healthy.add_metric([m], verdict.healthy)
                for kind in FAULTS:
                    fault.add_metric([m, kind], verdict.fault == kind)
        yield from (healthy, fault)
        latency = snapshot.latency
        seconds = HistogramMetricFamily("denet_latency_seconds", "From capture to event.")
        buckets = [(str(b), float(n)) for b, n in zip(BOUNDS, latency.below, strict=True)]
        seconds.add_metric([], [*buckets, ("+Inf", float(latency.count))], latency.total)
        yield seconds
        for name, text, value in (
            ("denet_batches", "Batches that ran.", snapshot.batches),
            ("denet_matched", "Embeddings or tracks with someone known.", snapshot.matched),
            ("denet_bundle_swaps", "Bundles that took over.", snapshot.swaps),
            ("denet_bundle_refusals", "Bundles that were refused.", snapshot.refused),
        ):
            yield CounterMetricFamily(name, text, value=value)
        shed = CounterMetricFamily(
            "denet_shed", "Crops in a cheaper state than was healthy.", labels=["healthy", "ran"]
        )
        for (whole, ran), count in snapshot.shed.items():
            shed.add_metric([whole, ran], count)
        yield shed
        if snapshot.tracks is not None:
            yield from _tracks(snapshot.tracks)
        yield GaugeMetricFamily("denet_stuck", "Whether a stage is stuck.", value=snapshot.stuck)
        away = bool(snapshot.away)
        yield GaugeMetricFamily("denet_server_away", "Whether the own bundle embeds.", value=away)
        stuck = GaugeMetricFamily("denet_stage_stuck", "Of each stage.", labels=["stage"])
        failures = CounterMetricFamily(
            "denet_stage_failures", "Errors that ended its work.", labels=["stage"]
        )
        for name, stage in snapshot.stages.items():
            stuck.add_metric([name], stage.stuck)
            failures.add_metric([name], stage.failures)
        yield from (stuck, failures)


def _tracks(tracks: TracksSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, text, value in (
        ("embedded", "Crops that were pooled.", tracks.embedded),
        ("identified", "Tracks in which the gallery knows somebody.", tracks.identified),
        ("resumed", "Tracks that went on after they were lost.", tracks.resumed),
        ("exchanged", "Pairs that were taken for one another.", tracks.exchanged),
        ("returned", "Tracks of people who came back.", tracks.returned),
    ):
        yield CounterMetricFamily(f"denet_tracks_{name}", text, value=value)
    yield GaugeMetricFamily("denet_tracks_recents", "People remembered.", value=tracks.recents)


def _events(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    published = CounterMetricFamily("denet_events_published", "Events.", labels=["sink"])
    delivered = CounterMetricFamily("denet_events_delivered", "Arrived.", labels=["sink"])
    waiting = GaugeMetricFamily("denet_events_waiting", "Waiting.", labels=["sink"])
    aside = GaugeMetricFamily("denet_events_set_aside", "Kept, not sent.", labels=["sink"])
    connected = GaugeMetricFamily("denet_events_connected", "Can arrive.", labels=["sink"])
    dropped = CounterMetricFamily("denet_events_dropped", "Given up.", labels=["sink", "reason"])
    for counters in snapshot.events:
        published.add_metric([counters.sink], counters.published)
        delivered.add_metric([counters.sink], counters.delivered)
        waiting.add_metric([counters.sink], counters.waiting)
        aside.add_metric([counters.sink], counters.set_aside)
        connected.add_metric([counters.sink], counters.connected)
        for reason, count in counters.dropped.items():
            dropped.add_metric([counters.sink, reason], count)
    return iter((published, delivered, waiting, aside, connected, dropped))
