"""A profile with numbers of choice."""

from __future__ import annotations

from denet.graph import RGB_NIR_TIR
from runtime.backends.base import LayerRun, Span, Trace
from runtime.benchmark.costs import Breakdown
from runtime.benchmark.states import Traced
from runtime.profile.result import (
    EngineLayers,
    ErrorReport,
    LayerCost,
    LayerError,
    ProfileReport,
    StateProfile,
)
from runtime.profile.timeline import ObservedRun, ProfileTrace, StateTrace
from tests.runtime.benchmark.reports import a_report

STATES = [state.name for state in RGB_NIR_TIR.states]

LONG = "node_Conv_41 + node_relu_with_a_name_that_no_terminal_has_room_for"


def a_profile(states: list[str] | None = None) -> ProfileReport:
    """Every engine takes 10 ms, and has three layers of 50, 30 and 20 per cent."""
    report = a_report()

    def layer(name: str, operator: str, share: float, weights: str = "") -> LayerCost:
        return LayerCost(name=name, operator=operator, weights=weights, ms=12 * share, share=share)

    def state_of(name: str) -> StateProfile:
        engines = RGB_NIR_TIR.plan(RGB_NIR_TIR.parse(name)).engines
        layers = EngineLayers(
            form="int8-trt",
            ms=12.0,
            layers=(
                layer("first", "CaskConvolution int8", 0.5, "branch.backbone.stages.3.0.conv2"),
                layer(LONG, "CaskConvolution int8", 0.3),
                layer("last", "", 0.2),
            ),
        )
        breakdown = Breakdown(
            runs=5, total=10.0 * len(engines) + 1, engines=dict.fromkeys(engines, 10.0),
            upload=0.5, copy=0.1, download=0.4, enqueued=None, outside=1.0, share=0.1,
        )  # fmt: skip
        return StateProfile(breakdown=breakdown, engines=dict.fromkeys(engines, layers))

    return ProfileReport(
        format="denet-profile", schema=1, made="2030-01-01T00:00:00+00:00", version="1",
        bundle=report.bundle, machine=report.machine, backend="tensorrt", precision="int8-trt",
        reason="asked for by name", threads=None, batch=1, rounds=5,
        states={name: state_of(name) for name in states or STATES},
        errors=some_errors(), notes=("the machine was busy",),
    )  # fmt: skip


def some_errors() -> ErrorReport:
    def error(layer: str, weights: str, value: float) -> LayerError:
        return LayerError(
            engine="branch_rgb", layer=layer, operator="Conv", weights=weights, error=value,
            states={"rgb+nir+tir": value / 2, "rgb": value},
        )  # fmt: skip

    return ErrorReport(
        variant="int8-trt", images="golden inputs", samples=2,
        whole={"rgb+nir+tir": 0.001, "rgb": 0.002},
        engines={"dem_rgb2nir": {"rgb": 1e-6}, "branch_rgb": {"rgb": 0.003}},
        layers=(error("worst", "branch.backbone.stem.0", 0.002), error(LONG, "", 0.001)),
    )  # fmt: skip


def a_trace(states: list[str] | None = None) -> ProfileTrace:
    """Engines one behind the other in two streams, the second half as late; layers stick out."""
    report = a_profile(states)
    traces = []
    for name, found in report.states.items():
        spans, layers = [Span("upload", "upload", 0, 0.0, 0.001)], {}
        for number, engine in enumerate(found.engines):
            start = 0.001 + 0.002 * number
            spans.append(Span("engine", engine, number % 2, start, start + 0.003))
            layers[engine] = (
                LayerRun("a", "Conv", 0.0001, 0.001),
                LayerRun("b", "", 0.0011, 0.0005),
                LayerRun("sticks out", "Conv", 0.0015, 0.9),
            )
        apart = [s._replace(start=2 * s.start, stop=2 * s.start + 0.003) for s in spans]
        end = max(span.stop for span in spans)
        trace = Trace(0.0005, end + 0.001, tuple(spans))
        traces.append(StateTrace(name, Traced(end + 0.002, trace), ObservedRun(apart, layers)))
    return ProfileTrace(report, traces)
