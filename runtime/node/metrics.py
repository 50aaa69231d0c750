"""The counters of a node for Prometheus, through its client library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from runtime.node.errors import NodeError
from runtime.node.head.snapshot import HeadSnapshot
from runtime.node.health.verdict import FAULTS
from runtime.node.latency import BOUNDS
from runtime.node.metrics_server import MetricsServer
from runtime.node.settings import MetricsSettings
from runtime.node.snapshot import NodeSnapshot


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
        snapshot = self._take()
        yield from _accounts(snapshot)
        yield from _events(snapshot)
        yield from _sensors(snapshot)
        yield from _latency(snapshot)
        yield from _counts(snapshot)
        yield from _tracks(snapshot)
        yield from _heads(snapshot)
        yield from _stages(snapshot)


def _labels(snapshot: NodeSnapshot, *names: str) -> list[str]:
    """Of a metric that each head has: only where heads have names they are told apart."""
    return ["head", *names] if snapshot.named else [*names]


def _values(head: HeadSnapshot, *values: str) -> list[str]:
    return [head.name, *values] if head.name else [*values]


def _accounts(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    names = _labels(snapshot, "what", "modality")
    entered = CounterMetricFamily("denet_entered", "What came, by what it is.", labels=names)
    left = CounterMetricFamily("denet_left", "What went on.", labels=names)
    held = GaugeMetricFamily("denet_held", "What waits.", labels=names)
    dropped = CounterMetricFamily("denet_dropped", "What was given up.", labels=[*names, "reason"])
    for head in snapshot.heads:
        accounts = [("frame", m, account) for m, account in head.frames.items()]
        accounts += [("triplet", "", head.triplets), ("crop", "", head.crops)]
        if head.tracks is not None:
            accounts.append(("track", "", head.tracks.account))
        for what, modality, account in accounts:
            values = _values(head, what, modality)
            entered.add_metric(values, account.entered)
            left.add_metric(values, account.left)
            held.add_metric(values, account.held)
            for reason, count in account.dropped.items():
                dropped.add_metric([*values, reason], count)
    return iter((entered, left, held, dropped))


def _sensors(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    names = _labels(snapshot, "modality")
    healthy = GaugeMetricFamily("denet_healthy", "Of each sensor.", labels=names)
    fault = GaugeMetricFamily("denet_fault", "Of each sensor.", labels=[*names, "fault"])
    for head in snapshot.heads:
        verdicts = {} if head.assessment is None else head.assessment.verdicts
        for m, verdict in verdicts.items():
            healthy.add_metric(_values(head, m), verdict.healthy)
            for kind in FAULTS:
                fault.add_metric(_values(head, m, kind), verdict.fault == kind)
    return iter((healthy, fault))


def _latency(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import HistogramMetricFamily

    names = _labels(snapshot)
    seconds = HistogramMetricFamily("denet_latency_seconds", "From capture to event.", labels=names)
    for head in snapshot.heads:
        latency = head.latency
        buckets = [(str(b), float(n)) for b, n in zip(BOUNDS, latency.below, strict=True)]
        buckets.append(("+Inf", float(latency.count)))
        seconds.add_metric(_values(head), buckets, latency.total)
    return iter((seconds,))


def _counts(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, text, value in (
        ("denet_batches", "Batches that ran.", snapshot.batches),
        ("denet_bundle_swaps", "Bundles that took over.", snapshot.swaps),
        ("denet_bundle_refusals", "Bundles that were refused.", snapshot.refused),
    ):
        yield CounterMetricFamily(name, text, value=value)
    matched = CounterMetricFamily(
        "denet_matched", "Embeddings or tracks with someone known.", labels=_labels(snapshot)
    )
    shed = CounterMetricFamily(
        "denet_shed",
        "Crops in a cheaper state than was healthy.",
        labels=_labels(snapshot, "healthy", "ran"),
    )
    for head in snapshot.heads:
        matched.add_metric(_values(head), head.matched)
        for (whole, ran), count in head.shed.items():
            shed.add_metric(_values(head, whole, ran), count)
    yield from (matched, shed)
    away = bool(snapshot.away)
    yield GaugeMetricFamily("denet_server_away", "Whether the own bundle embeds.", value=away)


def _tracks(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    names = _labels(snapshot)
    told = {
        name: CounterMetricFamily(f"denet_tracks_{name}", text, labels=names)
        for name, text in (
            ("embedded", "Crops that were pooled."),
            ("identified", "Tracks in which the gallery knows somebody."),
            ("resumed", "Tracks that went on after they were lost."),
            ("exchanged", "Pairs that were taken for one another."),
            ("returned", "Tracks of people who came back."),
        )
    }
    recents = GaugeMetricFamily("denet_tracks_recents", "People remembered.", labels=names)
    for head in snapshot.heads:
        if head.tracks is not None:
            for name, family in told.items():
                family.add_metric(_values(head), getattr(head.tracks, name))
            recents.add_metric(_values(head), head.tracks.recents)
    if recents.samples:
        yield from (*told.values(), recents)


def _heads(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    if not snapshot.named:
        return
    lost = GaugeMetricFamily("denet_head_lost", "Whether nothing comes of it.", labels=["head"])
    failures = CounterMetricFamily(
        "denet_head_failures", "Times that a defect ended it.", labels=["head"]
    )
    for head in snapshot.heads:
        lost.add_metric([head.name], bool(head.lost))
        failures.add_metric([head.name], head.failures)
    yield from (lost, failures)


def _stages(snapshot: NodeSnapshot) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily("denet_stuck", "Whether the node is stuck.", value=snapshot.stuck)
    stuck = GaugeMetricFamily("denet_stage_stuck", "Of each stage.", labels=["stage"])
    failures = CounterMetricFamily(
        "denet_stage_failures", "Errors that ended its work.", labels=["stage"]
    )
    for name, stage in snapshot.stages.items():
        stuck.add_metric([name], stage.stuck)
        failures.add_metric([name], stage.failures)
    yield from (stuck, failures)


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
