"""Two reports side by side: what changed, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.result import BenchmarkReport, Variant
from runtime.benchmark.sheet import Sheet, megabytes, short
from runtime.benchmark.stats import Repeated, Timing


@dataclass(frozen=True)
class Value:
    """Something of which more is worse.

    Attributes:
        value: its median.
        low: the least that was seen of it: of a time, the least median of a stretch.
        high: the greatest.
        judged: whether a limit on changes applies to it; a part of something that is judged, and
            what happens once, are shown only.
        bytes: whether it is bytes, and not milliseconds.
        state: whether it is the latency of a missing state.
    """

    value: float
    low: float
    high: float
    judged: bool = True
    bytes: bool = False
    state: bool = False

    def __str__(self) -> str:
        return f"{megabytes(self.value)} MB" if self.bytes else f"{short(self.value)} ms"


@dataclass(frozen=True)
class Change:
    """The same thing in two reports.

    Attributes:
        variant: of what.
        what: it is.
        old: in the first.
        new: in the second.
    """

    variant: str
    what: str
    old: Value
    new: Value

    @property
    def ratio(self) -> float:
        """New over old."""
        return self.new.value / self.old.value if self.old.value else 1.0

    @property
    def beyond_noise(self) -> bool:
        """Whether the worst of the one is better than the best of the other."""
        return self.new.low > self.old.high or self.new.high < self.old.low

    def describe(self) -> str:
        """For a person, in a line."""
        return f"{self.variant}: {self.what}: {self.old} became {self.new}, {self.ratio:.3f} times"

    def worse_than(self, limit: float) -> bool:
        """Whether it is judged, changed by more than `limit`, and not by chance."""
        return self.new.judged and self.beyond_noise and self.ratio > limit


@dataclass(frozen=True)
class Comparison:
    """Two reports side by side.

    Attributes:
        changes: of what both have.
        differences: in what was measured, where and how, sentence by sentence.
    """

    changes: tuple[Change, ...]
    differences: tuple[str, ...]

    def worse_than(self, limit: float) -> list[Change]:
        """What became worse than `limit` times as much, the worst first."""
        found = [change for change in self.changes if change.worse_than(limit)]
        return sorted(found, key=lambda change: -change.ratio)


def compare(old: BenchmarkReport, new: BenchmarkReport) -> Comparison:
    """Set two reports side by side.

    Raises:
        BenchmarkError: they have no variant in common.
    """
    common = [name for name in old.variants if name in new.variants]
    if not common:
        raise BenchmarkError(
            f"the reports have nothing in common: one is of {', '.join(old.variants)}, the other "
            f"of {', '.join(new.variants)}"
        )
    changes: list[Change] = []
    for name in common:
        before, after = dict(values(old.variants[name])), dict(values(new.variants[name]))
        changes += [Change(name, w, v, after[w]) for w, v in before.items() if w in after]
    if old.images is not None and new.images is not None:
        pair = _time(old.images.total), _time(new.images.total)
        changes.append(Change("images", "preprocessing", *pair))
    return Comparison(tuple(changes), tuple(differences(old, new)))


def values(variant: Variant) -> Iterator[tuple[str, Value]]:
    """All that a variant's costs, by name."""
    for state, cost in variant.states.items():
        yield state, replace(_time(cost.latency), state=True)
    for state, batches in variant.batches.items():
        for size, batch in batches.items():
            yield f"{state}, batch {size}", _time(batch.timing)
    if variant.stream is not None:
        yield "mixed states, batched", _time(variant.stream.batched)
    for state, taken in variant.end_to_end.items():
        yield f"{state}, from files", _time(taken)
    for engine, engine_cost in variant.engines.items():
        yield engine, _time(engine_cost.timing, judged=False)
    for lost, dropout in variant.dropouts.items():
        yield f"first without {lost}", _once(dropout.first, judged=False)
        yield f"first without {lost}, unprepared", _once(dropout.first_cold, judged=False)
    for name, start in variant.starts.items():
        yield f"cold start, {name}", _once(start.first)
        if start.host_bytes is not None:
            yield f"host memory, {name}", _once(start.host_bytes, bytes=True)
    yield "engines on disk", Value(variant.bytes, variant.bytes, variant.bytes, bytes=True)


def _time(taken: Timing, *, judged: bool = True) -> Value:
    return Value(taken.p50, taken.low, taken.high, judged)


def _once(taken: Repeated, *, judged: bool = True, bytes: bool = False) -> Value:  # noqa: A002
    return Value(taken.median, taken.low, taken.high, judged, bytes)


def differences(old: BenchmarkReport, new: BenchmarkReport) -> Iterator[str]:
    """What else is not the same: with any of it, a change may not be the bundle's."""
    pairs = {
        "machines": (old.machine.name, new.machine.name),
        "bundles": (old.bundle.checkpoint_sha256[:12], new.bundle.checkpoint_sha256[:12]),
        "backbones": (old.bundle.backbone, new.bundle.backbone),
        "threads": (old.settings.threads, new.settings.threads),
        "images": (old.settings.images, new.settings.images),
        "missing rates": (old.settings.missing_rate, new.settings.missing_rate),
        "versions of denet": (old.version, new.version),
    }
    for name, (a, b) in pairs.items():
        if a != b:
            yield f"different {name}: {a} and {b}"
    one, two = (report.machine.facts.get("versions", {}) for report in (old, new))
    for name in sorted({*one, *two}):
        if one.get(name) != two.get(name):
            yield f"different {name}: {one.get(name)} and {two.get(name)}"
    for which, report in (("first", old), ("second", new)):
        if report.machine.throttled:
            yield f"the {which} was slowed down: {report.machine.throttled}"


def comparison_facts(found: Comparison, worse: Sequence[Change]) -> dict[str, Any]:
    """Everything, as plain data for a program; of `worse` it is told which they are."""
    return {
        "differences": list(found.differences),
        "changes": [
            {
                "variant": change.variant,
                "what": change.what,
                "unit": "bytes" if change.old.bytes else "ms",
                "old": change.old.value,
                "new": change.new.value,
                "ratio": change.ratio,
                "beyond_noise": change.beyond_noise,
                "judged": change.old.judged,
                "too_much": change in worse,
            }
            for change in found.changes
        ],
    }


def comparison_sheet(found: Comparison, limit: float | None) -> Sheet:
    """Every state, and whatever else changed beyond the noise."""
    shown = [c for c in found.changes if c.beyond_noise or c.old.state]
    rows = [
        [
            f"{change.variant}: {change.what}",
            str(change.old),
            str(change.new),
            f"{change.ratio:.3f}",
            "yes" if change.beyond_noise else "no",
        ]
        for change in shown
    ]
    bad = frozenset(i for i, c in enumerate(shown) if limit is not None and c.worse_than(limit))
    rest = len(found.changes) - len(shown)
    return Sheet(
        "what changed",
        ["", "old", "new", "ratio", "beyond noise"],
        rows,
        f"{rest} others did not change beyond the noise" if rest else "",
        bad,
    )
