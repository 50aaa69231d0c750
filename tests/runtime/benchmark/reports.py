"""Reports in which everything was measured, with numbers of choice."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from denet.graph import RGB_NIR_TIR
from runtime.benchmark import states
from runtime.benchmark.costs import (
    BatchCost,
    Breakdown,
    DropoutCost,
    EngineCost,
    ImageCost,
    Limit,
    MonolithCost,
    Roofs,
    StartCost,
    StateCost,
    StreamCost,
)
from runtime.benchmark.request import PARTS
from runtime.benchmark.result import (
    BenchmarkReport,
    MachineFacts,
    Measured,
    Settings,
    Variant,
    encode,
)
from runtime.benchmark.stats import Ratio, Repeated, Timing

ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


def taken(ms: float, spread: float = 0.02) -> Timing:
    half = spread / 2
    return Timing(
        runs=100, mean=1.01 * ms, p50=ms, p90=1.1 * ms, p99=1.4 * ms, max=2 * ms,
        low=ms * (1 - half), high=ms * (1 + half), spread=spread,
    )  # fmt: skip


def once(value: float) -> Repeated:
    return Repeated(median=value, low=0.98 * value, high=1.02 * value)


def against(value: float) -> Ratio:
    return Ratio(
        median=value, low=0.99 * value, high=1.01 * value, pairs=100,
        verdict="slower" if value > 1.01 else "faster",
    )  # fmt: skip


def a_state(name: str, ms: float, spread: float, *, first: bool) -> StateCost:
    state = next(state for state in STATES if state.name == name)
    engines = dict.fromkeys(RGB_NIR_TIR.plan(state).engines, ms / 12)
    parts = Breakdown(
        runs=30, total=ms, engines=engines, upload=0.01, copy=0.0, download=0.02,
        enqueued=None, outside=0.05 * ms, share=0.05,
    )  # fmt: skip
    ratio = None if first else against(0.4)
    return StateCost(latency=taken(ms, spread), against_first=ratio, breakdown=parts, joules=None)


def an_engine(engine: str, ms: float, *, first: bool) -> EngineCost:
    state = next(state for state in STATES if engine in RGB_NIR_TIR.plan(state).engines)
    limit = Limit(
        flops=8_109_000_000, weight_bytes=96_100_000, moved_bytes=1_400_000, rate=500e9,
        bandwidth=20e9, ms=0.8 * ms, bound="compute", share=0.8,
    )  # fmt: skip
    return EngineCost(
        form="fp32" if first else "int8-vnni", state=state.name, timing=taken(ms),
        against_first=None if first else against(0.4), bytes=96_100_000, limit=limit,
    )  # fmt: skip


def a_variant(scale: float = 1.0, spread: float = 0.02, *, first: bool = True) -> Variant:
    """Everything was measured; a complete sample takes 60 ms times `scale`."""
    stacked = {
        state.name: a_state(state.name, 20.0 * len(state.available) * scale, spread, first=first)
        for state in STATES
    }
    batches = {
        state.name: {
            n: BatchCost(timing=taken(n * 50 * scale), per_second=20 / scale) for n in (1, 8)
        }
        for state in states.swept(RGB_NIR_TIR)
    }
    return Variant(
        backend="ort-cpu",
        precision="fp32" if first else "int8-vnni",
        reason="no NVIDIA GPU was found",
        bytes=410_000_000,
        states=stacked,
        engines={engine: an_engine(engine, 3.0 * scale, first=first) for engine in ENGINES},
        batches=batches,
        stream=StreamCost(
            samples=320, batch=16, batched=taken(30 * scale), single=taken(40 * scale),
            by_state=taken(33 * scale), over_single=against(1.33), over_by_state=against(1.1),
        ),
        dropouts={
            "rgb": DropoutCost(
                lost="rgb", state="nir+tir", engines=2, before=taken(60 * scale),
                around=taken(50 * scale), after=taken(40 * scale), first=once(45 * scale),
                first_cold=once(145 * scale),
            )
        },
        starts={
            name: StartCost(
                engines=5, batch=1, imports=once(150), load=once(500 * scale),
                embed=once(30 * scale), first=once(530 * scale), host_bytes=once(4e8),
                device_bytes=None,
            )
            for name in ("rgb", "all", "all, batch 16")
        },
        end_to_end={state.name: taken(61 * scale) for state in STATES},
        monoliths={
            "rgb": MonolithCost(
                bytes=118_000_000, min_cosine=0.9999999, composed={1: taken(20), 8: taken(150)},
                monolith={1: taken(20), 8: taken(150)}, ratio={1: against(1.0), 8: against(1.0)},
            )
        },
    )  # fmt: skip


def a_report(scale: float = 1.0, spread: float = 0.02, **others: Any) -> BenchmarkReport:
    fields: dict[str, Any] = {
        "variants": {
            "ort-cpu fp32": a_variant(scale, spread),
            "ort-cpu int8-vnni": a_variant(0.4 * scale, spread, first=False),
        },
        "machine": MachineFacts(
            name="A processor", lines=("CPU: A processor, 2 cores",),
            facts={"versions": {"onnxruntime": "1.31.1"}}, counters=(), throttled=None,
        ),
    }  # fmt: skip
    return BenchmarkReport(
        format="denet-benchmark",
        schema=1,
        made="2026-01-01T00:00:00+00:00",
        version="0.1.0",
        bundle=Measured(
            path="/models/<b>demo</b>.denet", bytes=520_000_000, checkpoint_sha256="0" * 64,
            backbone="resnet50", height=256, width=128, dim=12288,
        ),
        settings=Settings(
            parts=PARTS, threads=2, rounds=100, batches=(1, 8), missing_rate=0.5, seed=0, repeats=3,
            images="drawn",
        ),
        images=ImageCost(
            size=(384, 192), kilobytes=40.0, total=taken(3), decode=1.5, resize=1.0, normalize=0.5
        ),
        roofs={
            "ort-cpu": Roofs(
                rates={"fp32": 500e9, "int8": 2e12}, copies={2**20: 2e11, 2**29: 3e10}
            )
        },
        **(fields | others),
    )  # fmt: skip


def written(tmp_path: Path, name: str, report: BenchmarkReport) -> Path:
    path = tmp_path / name
    path.write_bytes(encode(report))
    return path


class Page(HTMLParser):
    """What a page refers to, and the text of it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
