"""A profile on one line of time, in the trace format of Chrome, which Perfetto shows as well.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, the
object form, with complete events (`X`) and metadata (`M`); times in microseconds. Two processes
are shown: the bundle as it runs, its streams beside the host; and the same with every layer
observed, which is slower. The last run of each state stands behind that of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from denet.marks import OutputKind, document
from runtime.backends.base import LayerRun, Span
from runtime.benchmark.states import Traced
from runtime.profile.result import ProfileReport

FORMAT = "denet-trace"

TRACE = OutputKind(".json", "a trace is", "a trace of denet", document(FORMAT))
"""The file of a trace."""

GAP = 1e-3
"""Seconds between two states."""

AS_IT_RUNS, OBSERVED = 1, 2
"""The processes of the trace."""

HOST, STREAM = 1, 2
"""The thread of the host, and that of the first stream; some readers take 0 for none."""

LAYERS = 1
"""The thread of engines and their layers."""

Event = dict[str, Any]


@dataclass(frozen=True)
class ObservedRun:
    """A run whose layers were observed.

    Attributes:
        spans: its parts.
        layers: of each of its engines.
    """

    spans: Sequence[Span]
    layers: Mapping[str, Sequence[LayerRun]]

    def seconds(self, engine: str) -> float:
        """That an engine took, its layers observed."""
        return sum(s.stop - s.start for s in self.spans if (s.kind, s.name) == ("engine", engine))


@dataclass(frozen=True)
class StateTrace:
    """A run of a state as it is, and one with its layers observed."""

    state: str
    plain: Traced
    observed: ObservedRun


@dataclass(frozen=True)
class ProfileTrace:
    """What is shown of a profile."""

    report: ProfileReport
    states: Sequence[StateTrace]

    def encode(self) -> bytes:
        """The trace as the content of its file."""
        report = self.report
        found = {
            "format": FORMAT,
            "displayTimeUnit": "ms",
            "otherData": {
                "version": report.version,
                "made": report.made,
                "bundle": report.bundle.path,
                "backend": report.backend,
                "precision": report.precision,
                "machine": report.machine.name,
                "batch": report.batch,
            },
            "traceEvents": [*self._names(), *self._events()],
        }
        return msgspec.json.encode(found) + b"\n"

    def _names(self) -> Iterator[Event]:
        """What processes and threads are called."""
        what = f"{self.report.backend} {self.report.precision}"
        lanes = 1 + max((s.lane for t in self.states for s in t.plain.trace.spans), default=0)
        yield _named("process_name", AS_IT_RUNS, HOST, f"{what}, as it runs")
        yield _named("thread_name", AS_IT_RUNS, HOST, "host")
        for lane in range(lanes):
            yield _named("thread_name", AS_IT_RUNS, STREAM + lane, f"stream {lane}")
        yield _named("process_name", OBSERVED, LAYERS, f"{what}, layer by layer (slower)")
        yield _named("thread_name", OBSERVED, LAYERS, "engines and their layers")

    def _events(self) -> Iterator[Event]:
        start = 0.0
        for trace in self.states:
            yield from self._plain(trace, start)
            yield from self._observed(trace, start)
            spans = (*trace.plain.trace.spans, *trace.observed.spans)
            start += max(trace.plain.total, *(span.stop for span in spans)) + GAP

    def _plain(self, trace: StateTrace, start: float) -> Iterator[Event]:
        """The parts of a run on their streams, and what the host did meanwhile."""
        ran = trace.plain.trace
        # The backend's clock began when the images were filled in; the head comes after its end.
        queued = ran.seconds if ran.enqueued is None else ran.enqueued
        for name, begins, ends in (
            (trace.state, 0.0, max(trace.plain.total, ran.seconds)),
            ("run" if ran.enqueued is None else "queue", 0.0, queued),
            ("wait", queued, ran.seconds),
        ):
            if ends > begins:
                yield _event(name, "host", AS_IT_RUNS, HOST, start + begins, start + ends)
        for span in ran.spans:
            yield self._part(span, trace.state, AS_IT_RUNS, STREAM + span.lane, start)

    def _observed(self, trace: StateTrace, start: float) -> Iterator[Event]:
        """Engines, and their layers inside of them."""
        for span in sorted(trace.observed.spans, key=lambda each: each.start):
            if span.kind != "engine":
                continue
            yield self._part(span, trace.state, OBSERVED, LAYERS, start)
            until = span.start
            for layer in trace.observed.layers[span.name]:
                # Each clock rounds in its own way, and what lies inside must not stick out.
                begins = min(max(span.start + layer.start, until), span.stop)
                until = min(max(begins, span.start + layer.start + layer.seconds), span.stop)
                told = {"operator": layer.operator, "engine": span.name, "state": trace.state}
                yield _event(
                    layer.name, "layer", OBSERVED, LAYERS, start + begins, start + until, **told
                )

    def _part(self, span: Span, state: str, process: int, thread: int, start: float) -> Event:
        told = {"state": state}
        if span.kind == "engine":
            told["form"] = self.report.states[state].engines[span.name].form
        begins, ends = start + span.start, start + span.stop
        return _event(span.name, span.kind, process, thread, begins, ends, **told)


def _named(what: str, process: int, thread: int, name: str) -> Event:
    # Time and category are for readers that want them of any event, as Chrome writes them.
    where = {"pid": process, "tid": thread, "ts": 0, "cat": "__metadata"}
    return {"ph": "M", "name": what, **where, "args": {"name": name}}


def _event(
    name: str, kind: str, process: int, thread: int, start: float, stop: float, **told: str
) -> Event:
    """Something that lasted, its times in whole nanoseconds."""
    begins, ends = round(1e9 * start), round(1e9 * stop)
    return {
        "ph": "X",
        "name": name,
        "cat": kind,
        "pid": process,
        "tid": thread,
        "ts": begins / 1e3,
        "dur": (ends - begins) / 1e3,
        "args": told,
    }
