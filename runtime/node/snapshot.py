"""What a node tells of itself at a moment: for a line of text, for JSON, for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from denet.graph import Modality
from runtime.node.backlog import Account
from runtime.node.events import Counters
from runtime.node.health import Assessment
from runtime.node.latency import Latency
from runtime.node.tracks.snapshot import TracksSnapshot
from runtime.node.tracks.tracks import NOTHING_NEW, UNCONFIRMED
from runtime.node.watchdog import StageSnapshot

USUAL = (f"crop: {NOTHING_NEW}", f"crop: {UNCONFIRMED}", f"track: {UNCONFIRMED}")
"""Drops that a line for a terminal does not tell."""


@dataclass(frozen=True)
class NodeSnapshot:
    """A node at a moment.

    Attributes:
        time: seconds since 1970 (UTC).
        running: seconds since it started.
        assessment: the last; None before the first triplet.
        frames: by modality; those that left are in triplets.
        triplets: those that left were searched for persons.
        crops: those that left were embedded.
        events: what became of events, for each place they go to.
        batches: how many ran.
        matched: embeddings in which someone was recognized.
        latency: from capture to event.
        bundle: what runs, for a person.
        unmatched: why nobody is matched although there is a gallery; "" otherwise.
        swaps, refused: bundles that took over, and that were refused.
        stages: the threads of the node, by their names.
        away: why an own bundle embeds in the place of a server; "" otherwise.
        tracks: who is followed; None where nobody is.
        shed: crops that were embedded in a cheaper state than was healthy: the names of both, and
            how many.
    """

    time: float
    running: float
    assessment: Assessment | None
    frames: Mapping[Modality, Account]
    triplets: Account
    crops: Account
    events: Sequence[Counters]
    batches: int
    matched: int
    latency: Latency
    bundle: str
    unmatched: str
    swaps: int
    refused: int
    stages: Mapping[str, StageSnapshot]
    away: str = ""
    tracks: TracksSnapshot | None = None
    shed: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def stuck(self) -> bool:
        """Whether a stage makes no progress."""
        return any(stage.stuck for stage in self.stages.values())

    @property
    def state(self) -> str | None:
        """The name of the missing state; None if nothing is healthy."""
        last = self.assessment
        return None if last is None or last.state is None else last.state.name

    @property
    def dropped(self) -> Counter[str]:
        """All that was dropped, by what it was and why."""
        found: Counter[str] = Counter()
        accounts = {"frame": self.frames.values(), "triplet": [self.triplets], "crop": [self.crops]}
        if self.tracks is not None:
            accounts["track"] = [self.tracks.account]
        for what, each in accounts.items():
            for account in each:
                found.update({f"{what}: {why}": n for why, n in account.dropped.items()})
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
            self.state or "nothing healthy",
            f"{triplets:.1f} triplets/s",
            f"{embedded:.1f} embeddings/s",
        ]
        if self.tracks is not None:
            parts.append(f"{len(self.tracks.tracks)} tracks")
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
        if self.assessment is not None and self.assessment.reason:
            parts.append(self.assessment.reason)
        return " | ".join(parts)

    def summary(self) -> list[str]:
        """For a terminal at the end: what became of everything, a line for each kind."""
        accounts = {f"{m} frames": (account, "used") for m, account in self.frames.items()}
        accounts["triplets"] = self.triplets, "searched"
        accounts["crops"] = self.crops, "embedded"
        if self.tracks is not None:
            accounts["tracks"] = self.tracks.account, "ended"
        lines = [_summed_up(what, account, left) for what, (account, left) in accounts.items()]
        lines += [f"{healthy} as {ran}: {n} crops" for (healthy, ran), n in self.shed.items()]
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
        verdicts = {} if self.assessment is None else self.assessment.verdicts
        tracks = {} if self.tracks is None else {"tracks": self.tracks.facts()}
        shed: dict[str, dict[str, int]] = {}
        for (healthy, ran), count in self.shed.items():
            shed.setdefault(healthy, {})[ran] = count
        return {
            "time": self.time,
            "running": self.running,
            "state": self.state,
            "sensors": {m: {"fault": v.fault, "reason": v.reason} for m, v in verdicts.items()},
            "frames": {m: account_facts(account) for m, account in self.frames.items()},
            "triplets": account_facts(self.triplets),
            "crops": account_facts(self.crops),
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
            "matched": self.matched,
            "latency": {"p50": self.latency.p50, "p99": self.latency.p99},
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
            **({"shed": shed} if shed else {}),
            **tracks,
        }


def account_facts(account: Account) -> dict[str, Any]:
    """An account for JSON."""
    return {
        "entered": account.entered,
        "left": account.left,
        "dropped": dict(account.dropped),
        "held": account.held,
    }


def _summed_up(what: str, account: Account, left: str) -> str:
    gone = "".join(f", {why} {n}" for why, n in sorted(account.dropped.items()))
    held = f", held {account.held}" if account.held else ""
    return f"{what}: {account.entered} in, {account.left} {left}{gone}{held}"
