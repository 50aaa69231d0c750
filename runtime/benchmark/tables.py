"""The tables of a report: each function makes one of a variant, or None where there is nothing."""

from __future__ import annotations

from collections.abc import Callable

from denet.graph import KIND_NAMES, Kind, kind_of
from runtime.benchmark.costs import Breakdown
from runtime.benchmark.result import BenchmarkReport, Variant
from runtime.benchmark.sheet import Sheet, megabytes, percent, short
from runtime.benchmark.stats import Ratio, Timing, throughput


def sheets(report: BenchmarkReport) -> list[Sheet]:
    """All tables of a report, in the order in which a person should see them."""
    found = [] if (sheet := decision_sheet(report)) is None else [sheet]
    for name, variant in report.variants.items():
        title = f"{name}: " if len(report.variants) > 1 else ""
        for make in OF_A_VARIANT:
            if (sheet := make(title, variant)) is not None:
                found.append(sheet)
    return found


def decision_sheet(report: BenchmarkReport) -> Sheet | None:
    """What each state takes beside what it gives, all variants on one page; None where no mAP is
    known."""
    variants = report.variants
    if not any(c.map is not None for v in variants.values() for c in v.states.values()):
        return None
    alike = len({variant.backend for variant in variants.values()}) == 1
    rows = []
    for state in next(iter(variants.values())).states:
        cells = [state]
        for variant in variants.values():
            cost = variant.states[state]
            known = "-" if cost.map is None else f"{cost.map:.1f}"
            cells += [short(cost.latency.p50), known]
        rows.append(cells)
    heads = ["state"]
    for name, variant in variants.items():
        heads += [f"{variant.precision if alike else name} ms", "mAP %"]
    note = (
        "ms: median of one sample; mAP: on what the bundle's calibration held out, as it measured "
        "it; compare it with denet eval"
    )
    return Sheet("what a state takes, and what it gives", heads, rows, note)


def states_sheet(title: str, variant: Variant) -> Sheet | None:
    """Latency of each state."""
    if not variant.states:
        return None
    compared = any(cost.against_first for cost in variant.states.values())
    energy = any(cost.joules is not None for cost in variant.states.values())
    rows, bad = [], set()
    for index, (state, cost) in enumerate(variant.states.items()):
        latency = cost.latency
        cells = [state, *_tail(latency), percent(latency.spread)]
        cells.append(short(throughput(latency, 1)))
        cells.append(percent(cost.breakdown.share))
        if compared:
            cells.append("-" if cost.against_first is None else _ratio(cost.against_first))
        if energy:
            cells.append("-" if cost.joules is None else short(cost.joules))
        rows.append(cells)
        if latency.noisy:
            bad.add(index)
    heads = ["state", *TAIL, "spread %", "per s", "outside %"]
    heads += ["/ first"] * compared + ["J"] * energy
    note = "network input to embedding; outside: of the time, in which no engine runs"
    if compared:
        note += "; / first: time over that of the first variant, ~ no difference, ? too noisy"
    return Sheet(f"{title}one sample, ms", heads, rows, note, frozenset(bad))


TAIL = ("p50", "p90", "p99", "max")


def _tail(taken: Timing) -> list[str]:
    return [short(t) for t in (taken.p50, taken.p90, taken.p99, taken.max)]


def _ratio(ratio: Ratio) -> str:
    mark = {"the same": "~", "too noisy to say": "?"}.get(ratio.verdict, "")
    return f"{mark}{ratio.median:.3f}"


def parts_sheet(title: str, variant: Variant) -> Sheet | None:
    """Where the time of each state goes."""
    if not variant.states:
        return None
    device = any(cost.breakdown.enqueued is not None for cost in variant.states.values())
    rows = []
    for state, cost in variant.states.items():
        parts = cost.breakdown
        cells = [state, *(short(by_kind(parts)[kind]) for kind in KIND_NAMES)]
        cells += [short(parts.upload), short(parts.copy), short(parts.download)]
        if device:
            cells.append("-" if parts.enqueued is None else short(parts.enqueued))
        rows.append([*cells, short(parts.outside), short(parts.total)])
    heads = ["state", *KIND_NAMES.values(), "upload", "copy", "download", *(["enqueue"] * device)]
    heads += ["outside", "total"]
    note = "of traced runs; outside: in which no engine runs, uploads and copies included"
    return Sheet(f"{title}where the time goes, ms", heads, rows, note)


def by_kind(parts: Breakdown) -> dict[Kind, float]:
    """Milliseconds of branches, CMFTs and edges."""
    return {
        kind: sum(ms for engine, ms in parts.engines.items() if kind_of(engine) == kind)
        for kind in KIND_NAMES
    }


def engines_sheet(title: str, variant: Variant) -> Sheet | None:
    """Each engine, and how near it is to what the machine can do."""
    if not variant.engines:
        return None
    compared = any(cost.against_first for cost in variant.engines.values())
    limits = any(cost.limit for cost in variant.engines.values())
    rows = []
    for engine, cost in variant.engines.items():
        cells = [engine, cost.form, short(cost.timing.p50), short(cost.timing.p99)]
        cells.append(megabytes(cost.bytes))
        if limits:
            limit = cost.limit
            if limit is None:
                cells += ["-"] * 3
            else:
                cells += [short(limit.ms), limit.bound, percent(limit.share)]
        if compared:
            cells.append("-" if cost.against_first is None else _ratio(cost.against_first))
        rows.append(cells)
    heads = ["engine", "form", "p50", "p99", "MB"]
    heads += ["limit", "by", "reach %"] * limits + ["/ first"] * compared
    note = "inside the first state that runs it"
    if limits:
        note += "; limit: the time at this machine's own best; reach: its share of p50"
    return Sheet(f"{title}engines, batch 1, ms", heads, rows, note)


def batches_sheet(title: str, variant: Variant) -> Sheet | None:
    """Throughput against batch."""
    if not variant.batches:
        return None
    sizes = list(next(iter(variant.batches.values())))
    rows = [
        [state, *(short(costs[size].per_second) for size in sizes)]
        for state, costs in variant.batches.items()
    ]
    heads = ["state", *(f"batch {size}" for size in sizes)]
    return Sheet(f"{title}samples per second", heads, rows)


def stream_sheet(title: str, variant: Variant) -> Sheet | None:
    """A stream in mixed states."""
    stream = variant.stream
    if stream is None:
        return None
    ways = {
        f"in batches of {stream.batch}": (stream.batched, None),
        "one by one": (stream.single, stream.over_single),
        "state by state": (stream.by_state, stream.over_by_state),
    }
    rows = [
        [
            way,
            *_tail(taken),
            short(throughput(taken, 1)),
            "-" if gain is None else f"{gain.median:.3f} ({gain.low:.3f}, {gain.high:.3f})",
        ]
        for way, (taken, gain) in ways.items()
    ]
    heads = ["mixed states", *TAIL, "per s", "gain of batching"]
    note = "gain: throughput in batches over this way, median of pairs and its 95 % interval"
    return Sheet(
        f"{title}{stream.samples} samples in mixed states, ms of a sample", heads, rows, note
    )


def dropout_sheet(title: str, variant: Variant) -> Sheet | None:
    """A camera that dies."""
    if not variant.dropouts:
        return None
    rows = [
        [
            lost,
            short(cost.before.p50),
            short(cost.before.p99),
            short(cost.around.p99),
            short(cost.after.p50),
            short(cost.first.median),
            short(cost.first_cold.median),
            str(cost.engines),
        ]
        for lost, cost in variant.dropouts.items()
    ]
    heads = ["lost", "before p50", "p99", "around p99", "after p50", "first", "unprepared", "loads"]
    note = (
        "first: the first sample without it; unprepared: the same where only the complete state "
        "was prepared; loads: the engines that it then loads"
    )
    return Sheet(f"{title}a camera dies in a stream, ms", heads, rows, note)


def starts_sheet(title: str, variant: Variant) -> Sheet | None:
    """Cold starts."""
    if not variant.starts:
        return None
    device = any(cost.device_bytes for cost in variant.starts.values())
    rows = []
    for name, cost in variant.starts.items():
        times = cost.imports, cost.load, cost.embed, cost.first
        cells = [name, str(cost.engines), *(short(each.median) for each in times)]
        cells.append("-" if cost.host_bytes is None else megabytes(cost.host_bytes.median))
        if device:
            cells.append("-" if cost.device_bytes is None else megabytes(cost.device_bytes.median))
        rows.append(cells)
    heads = ["prepared", "engines", "import", "load", "embed", "first", "host MB"]
    note = "first: load and embed, the time to the first embedding; host: the most memory it had"
    return Sheet(f"{title}a fresh process, ms", heads + ["device MB"] * device, rows, note)


def files_sheet(title: str, variant: Variant) -> Sheet | None:
    """End to end."""
    if not variant.end_to_end:
        return None
    rows = [
        [state, *_tail(taken), percent(taken.spread), short(throughput(taken, 1))]
        for state, taken in variant.end_to_end.items()
    ]
    bad = frozenset(i for i, t in enumerate(variant.end_to_end.values()) if t.noisy)
    heads = ["state", *TAIL, "spread %", "per s"]
    return Sheet(f"{title}from image files to embedding, ms", heads, rows, bad=bad)


def monoliths_sheet(title: str, variant: Variant) -> Sheet | None:
    """Composed beside one graph of the whole state."""
    if not variant.monoliths:
        return None
    rows = [
        [
            state,
            str(size),
            short(cost.composed[size].p50),
            short(cost.monolith[size].p50),
            _ratio(ratio),
            f"{ratio.low:.3f} to {ratio.high:.3f}",
            megabytes(cost.bytes),
        ]
        for state, cost in variant.monoliths.items()
        for size, ratio in cost.ratio.items()
    ]
    heads = ["state", "batch", "composed", "one graph", "ratio", "its interval", "graph MB"]
    note = "ratio: composed over one graph, median of pairs; ~ no difference, ? too noisy"
    return Sheet(f"{title}composed and monolithic, ms", heads, rows, note)


OF_A_VARIANT: tuple[Callable[[str, Variant], Sheet | None], ...] = (
    states_sheet,
    parts_sheet,
    engines_sheet,
    batches_sheet,
    monoliths_sheet,
    stream_sheet,
    files_sheet,
    dropout_sheet,
    starts_sheet,
)
