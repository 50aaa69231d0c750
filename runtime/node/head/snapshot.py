"""What a node tells of one of its heads at a moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from denet.graph import Modality
from runtime.node.backlog import Account
from runtime.node.boxes.homography import Views
from runtime.node.health import Assessment
from runtime.node.latency import Latency
from runtime.node.sources.frame import Pixels
from runtime.node.tracks.snapshot import TracksSnapshot


@dataclass(frozen=True)
class HeadSnapshot:
    """A head at a moment.

    Attributes:
        name: of it; "" of the one head of a node without names for them.
        assessment: the last; None before the first triplet.
        pixels: the last of each sensor, whatever their verdict.
        views: where a place of the RGB frame is in other modalities; None if all show the same.
        frames: by modality; those that left are in triplets.
        triplets: those that left were searched for persons.
        crops: those that left were embedded.
        latency: from capture to event.
        matched: embeddings in which someone was recognized.
        tracks: who is followed; None where nobody is.
        shed: crops that were embedded in a cheaper state than was healthy: the names of both, and
            how many.
        failures: how often a defect has ended it.
        lost: why nothing comes of it now: a defect, or boxes that cannot be found; "" otherwise.
    """

    name: str
    assessment: Assessment | None
    frames: Mapping[Modality, Account]
    triplets: Account
    crops: Account
    latency: Latency
    matched: int = 0
    tracks: TracksSnapshot | None = None
    shed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    pixels: Mapping[Modality, Pixels] = field(default_factory=dict)
    views: Views | None = None
    failures: int = 0
    lost: str = ""

    @property
    def state(self) -> str | None:
        """The name of the missing state; None if nothing is healthy."""
        last = self.assessment
        return None if last is None or last.state is None else last.state.name

    @property
    def faults(self) -> str:
        """What is wrong with its sensors in a few words: the whole was told when it began."""
        return "" if self.lost or self.assessment is None else self.assessment.faults

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
        return found

    def summary(self) -> list[str]:
        """For a terminal at the end: what became of everything, a line for each kind."""
        accounts = {f"{m} frames": (account, "used") for m, account in self.frames.items()}
        accounts["triplets"] = self.triplets, "searched"
        accounts["crops"] = self.crops, "embedded"
        if self.tracks is not None:
            accounts["tracks"] = self.tracks.account, "ended"
        lines = [_summed_up(what, account, left) for what, (account, left) in accounts.items()]
        lines += [f"{healthy} as {ran}: {n} crops" for (healthy, ran), n in self.shed.items()]
        if self.failures:
            lines.append(f"a defect ended it {self.failures} times")
        return [f"{self.name}: {line}" if self.name else line for line in lines]

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        verdicts = {} if self.assessment is None else self.assessment.verdicts
        shed: dict[str, dict[str, int]] = {}
        for (healthy, ran), count in self.shed.items():
            shed.setdefault(healthy, {})[ran] = count
        return {
            "state": self.state,
            "sensors": {m: {"fault": v.fault, "reason": v.reason} for m, v in verdicts.items()},
            "frames": {m: account.facts() for m, account in self.frames.items()},
            "triplets": self.triplets.facts(),
            "crops": self.crops.facts(),
            "matched": self.matched,
            "latency": {"p50": self.latency.p50, "p99": self.latency.p99},
            **({"shed": shed} if shed else {}),
            **({} if self.tracks is None else {"tracks": self.tracks.facts()}),
        }


def _summed_up(what: str, account: Account, left: str) -> str:
    gone = "".join(f", {why} {n}" for why, n in sorted(account.dropped.items()))
    held = f", held {account.held}" if account.held else ""
    return f"{what}: {account.entered} in, {account.left} {left}{gone}{held}"
