"""What a node tells of itself at a moment: for a line of text, for JSON, for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from denet.graph import Modality
from runtime.node.backlog import Account, total
from runtime.node.events import Counters
from runtime.node.head.snapshot import HeadSnapshot
from runtime.node.health import Assessment
from runtime.node.latency import Latency
from runtime.node.tracks.snapshot import TracksSnapshot, all_tracks
from runtime.node.tracks.tracks import NOTHING_NEW, UNCONFIRMED
from runtime.node.watchdog import StageSnapshot

USUAL = (f"crop: {NOTHING_NEW}", f"crop: {UNCONFIRMED}", f"track: {UNCONFIRMED}")
"""Drops that a line for a terminal does not tell."""


@dataclass(frozen=True)
class NodeSnapshot:
    """A node at a moment. What is of its heads is told of them together, too.

    Attributes:
        time: seconds since 1970 (UTC).
        running: seconds since it started.
        heads: all of them, at least one.
        events: what became of events, for each place they go to.
        batches: how many ran.
        latency: from capture to event.
        bundle: what runs, for a person.
        unmatched: why nobody is matched although there is a gallery; "" otherwise.
        swaps, refused: bundles that took over, and that were refused.
        stages: the threads of the node, by their names.
        away: why an own bundle embeds in the place of a server; "" otherwise.
    """

    time: float
    running: float
    heads: Sequence[HeadSnapshot]
    events: Sequence[Counters]
    batches: int
    latency: Latency
    bundle: str
    unmatched: str
    swaps: int
    refused: int
    stages: Mapping[str, StageSnapshot]
    away: str = ""

    @property
    def named(self) -> bool:
        """Whether its heads have names."""
        return bool(self.heads[0].name)

    @property
    def assessment(self) -> Assessment | None:
        """The last, of the one head of a node without names for them; None before the first."""
        return None if self.named else self.heads[0].assessment

    @property
    def frames(self) -> Mapping[Modality, Account]:
        """Of all heads, by modality; those that left are in triplets."""
        modalities = dict.fromkeys(m for head in self.heads for m in head.frames)
        return {m: total(h.frames[m] for h in self.heads if m in h.frames) for m in modalities}

    @property
    def triplets(self) -> Account:
        """Those that left were searched for persons."""
        return total(head.triplets for head in self.heads)

    @property
    def crops(self) -> Account:
        """Those that left were embedded."""
        return total(head.crops for head in self.heads)

    @property
    def matched(self) -> int:
        """Embeddings in which someone was recognized."""
        return sum(head.matched for head in self.heads)

    @property
    def tracks(self) -> TracksSnapshot | None:
        """Who is followed; None where nobody is."""
        return all_tracks(head.tracks for head in self.heads if head.tracks is not None)

    @property
    def shed(self) -> Mapping[tuple[str, str], int]:
        """Crops that were embedded in a cheaper state than was healthy: the names of both, and how
        many."""
        found: Counter[tuple[str, str]] = Counter()
        for head in self.heads:
            found.update(head.shed)
        return found

    @property
    def stuck(self) -> bool:
        """Whether a stage makes no progress that all need; of those that only a head needs, whether
        each head has such a one. The node is not well then."""
        stuck = [stage.head for stage in self.stages.values() if stage.stuck]
        return "" in stuck or all(head.name in stuck for head in self.heads)

    @property
    def state(self) -> str | None:
        """The name of the missing state of the one head; None if nothing is healthy."""
        last = self.assessment
        return None if last is None or last.state is None else last.state.name

    @property
    def dropped(self) -> Counter[str]:
        """All that was dropped, by what it was and why."""
        found: Counter[str] = Counter()
        for head in self.heads:
            found.update(head.dropped)
        for counters in self.events:
            found.update({f"event: {why}": n for why, n in counters.dropped.items()})
        return found

    def line(self, before: NodeSnapshot | None) -> str:
        """For a terminal: what happened since `before`."""
        seconds = self.running - (before.running if before else 0.0)
        rate = 1 / seconds if seconds > 0 else 0.0
        triplets = (self.triplets.entered - (before.triplets.entered if before else 0)) * rate
        embedded = (self.crops.left - (before.crops.left if before else 0)) * rate
        parts = [
            time.strftime("%H:%M:%S", time.localtime(self.time)),
            *(_headed(head) for head in self.heads),
            f"{triplets:.1f} triplets/s",
            f"{embedded:.1f} embeddings/s",
        ]
        if (tracks := self.tracks) is not None:
            parts.append(f"{len(tracks.tracks)} tracks")
        if self.latency.p50 is not None and self.latency.p99 is not None:
            parts.append(f"p50 {1e3 * self.latency.p50:.0f} ms, p99 {1e3 * self.latency.p99:.0f}")
        new = self.dropped - (before.dropped if before else Counter())
        for usual in USUAL:  # most crops of a track: nothing is lost with them
            del new[usual]
        if new:
            parts.append("dropped " + ", ".join(f"{why} {n}" for why, n in sorted(new.items())))
        less = sum(self.shed.values()) - (sum(before.shed.values()) if before else 0)
        if less:
            parts.append(f"cheaper {less}")
        if self.unmatched:
            parts.append("no matching")
        if self.away:
            parts.append("server away")
        if self.stuck:
            parts.append("stuck")
        parts += [_named(head, head.trouble) for head in self.heads if head.trouble]
        return " | ".join(parts)

    def summary(self) -> list[str]:
        """For a terminal at the end: what became of everything, a line for each kind."""
        lines = [line for head in self.heads for line in head.summary()]
        for counters in self.events:
            gone = "".join(f", {why} {n}" for why, n in counters.dropped.items())
            aside = f", {counters.set_aside} set aside" if counters.set_aside else ""
            lines.append(
                f"events to {counters.sink}: {counters.published} published, "
                f"{counters.delivered} delivered, {counters.waiting} waiting{aside}{gone}"
            )
        return lines

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        # Of several heads the sums, without what only one can have, and then each.
        together = HeadSnapshot(
            name="",
            assessment=self.assessment,
            frames=self.frames,
            triplets=self.triplets,
            crops=self.crops,
            latency=self.latency,
            matched=self.matched,
            tracks=self.tracks,
            shed=self.shed,
        )
        heads = {
            head.name: {**head.facts(), "failures": head.failures, "lost": head.lost}
            for head in self.heads
        }
        return {
            "time": self.time,
            "running": self.running,
            **together.facts(),
            "events": {
                counters.sink: {
                    "published": counters.published,
                    "delivered": counters.delivered,
                    "waiting": counters.waiting,
                    "set_aside": counters.set_aside,
                    "dropped": dict(counters.dropped),
                    "connected": counters.connected,
                }
                for counters in self.events
            },
            "batches": self.batches,
            "bundle": self.bundle,
            "unmatched": self.unmatched,
            "away": self.away,
            "swaps": self.swaps,
            "refused": self.refused,
            "stuck": self.stuck,
            "stages": {
                name: {"stuck": s.stuck, "failures": s.failures, "failure": s.failure}
                for name, s in self.stages.items()
            },
            **({"heads": heads} if self.named else {}),
        }


def _headed(head: HeadSnapshot) -> str:
    state = "lost" if head.lost else head.state or "nothing healthy"
    return f"{head.name} {state}" if head.name else state


def _named(head: HeadSnapshot, text: str) -> str:
    return f"{head.name}: {text}" if head.name else text
