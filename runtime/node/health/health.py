"""All sensors of a node: what of each triplet may be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from denet.graph import Graph, Modality
from runtime.node.health.limits import Limits
from runtime.node.health.sensor import Sensor
from runtime.node.health.verdict import Assessment
from runtime.node.sources.frame import Notice
from runtime.node.sources.triplet import Triplet


class Health:
    """Judges every triplet of a node, in their order."""

    def __init__(
        self,
        modalities: Iterable[Modality],
        limits: Mapping[Modality, Limits] | None = None,
    ) -> None:
        """Make one.

        Args:
            modalities: that the node has, at least one, in their order.
            limits: of those for which others than the usual ones hold.
        """
        given = limits or {}
        self._graph = Graph(tuple(modalities))
        self._sensors = {m: Sensor(m, given.get(m, Limits())) for m in self._graph.modalities}
        self._notices: dict[Modality, Notice] = {}

    def hear(self, notice: Notice) -> None:
        """Know what became of a source, so that an absence can be explained."""
        self._notices[notice.modality] = notice

    def judge(self, triplet: Triplet, now: float) -> Assessment:
        """The verdict on each sensor, and the state that is left.

        Args:
            triplet: what was seen; frames of modalities that the node does not have are ignored.
            now: seconds of the monotonic clock.
        """
        verdicts = {}
        for m, sensor in self._sensors.items():
            absence = triplet.absent.get(m)
            if absence is None:
                verdicts[m] = sensor.judge(triplet.frames[m], now)
            else:
                notice = self._notices.get(m)
                if notice is not None and notice.stage != "running":
                    absence = replace(absence, reason=f"{absence.reason}; {notice.reason}")
                verdicts[m] = sensor.judge(absence, now)
        healthy = [m for m, verdict in verdicts.items() if verdict.healthy]
        return Assessment(triplet.time, verdicts, self._graph.state(healthy) if healthy else None)
