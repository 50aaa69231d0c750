"""What a benchmark tells: the report and its schema, tables, page, comparison and command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

import cli
from denet.evaluate import draw_states
from denet.graph import COMPLETE, ENGINES, STATES, plan
from runtime import Bundle
from runtime.benchmark import images, page, result, roofs, run, states, stream
from runtime.benchmark.assemble import noise_notes
from runtime.benchmark.compare import Comparison, compare, comparison_facts, comparison_grid
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
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.files import read_report
from runtime.benchmark.grid import Grid, percent, short
from runtime.benchmark.place import slowed
from runtime.benchmark.request import PARTS, Request, read_request
from runtime.benchmark.result import Machine, Measured, Report, Settings, Variant, encode, schema
from runtime.benchmark.run import bench
from runtime.benchmark.stats import Ratio, Repeated, Timing
from runtime.benchmark.summary import summary
from runtime.benchmark.tables import grids
from tests.clock import Tick
from tests.command import denet, refused
from tests.paths import ROOT


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
    engines = dict.fromkeys(plan(state).engines, ms / 12)
    parts = Breakdown(
        runs=30, total=ms, engines=engines, upload=0.01, copy=0.0, download=0.02,
        enqueued=None, outside=0.05 * ms, share=0.05,
    )  # fmt: skip
    ratio = None if first else against(0.4)
    return StateCost(latency=taken(ms, spread), against_first=ratio, breakdown=parts, joules=None)


def an_engine(engine: str, ms: float, *, first: bool) -> EngineCost:
    state = next(state for state in STATES if engine in plan(state).engines)
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
        for state in states.SWEPT
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


def a_report(scale: float = 1.0, spread: float = 0.02, **others: Any) -> Report:
    fields: dict[str, Any] = {
        "variants": {
            "ort-cpu fp32": a_variant(scale, spread),
            "ort-cpu int8-vnni": a_variant(0.4 * scale, spread, first=False),
        },
        "machine": Machine(
            name="A processor", lines=("CPU: A processor, 2 cores",),
            facts={"versions": {"onnxruntime": "1.31.1"}}, counters=(), throttled=None,
        ),
    }  # fmt: skip
    return Report(
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


def written(tmp_path: Path, name: str, report: Report) -> Path:
    path = tmp_path / name
    path.write_bytes(encode(report))
    return path


# The report


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = a_report()
    assert read_report(written(tmp_path, "a.json", report)) == report


def test_the_schema_in_the_documentation_is_that_of_the_report() -> None:
    path = ROOT / "docs" / "benchmark.schema.json"
    assert path.read_bytes() == schema(), (
        "write it anew: python -c 'from runtime.benchmark.result import schema; "
        'print(schema().decode(), end="")\' > docs/benchmark.schema.json'
    )


def test_every_field_of_a_report_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "benchmark.md").read_text()
    for name in json.loads(schema())["$defs"]:
        for field in getattr(result, name, Timing).__struct_fields__:
            assert f"`{field}`" in text, f"{name}.{field}"


def test_every_field_of_a_report_is_in_the_schema() -> None:
    document = json.loads(schema())
    kinds = document["$defs"]

    def check(value: Any, kind: dict[str, Any]) -> None:
        if "$ref" in kind:
            kind = kinds[kind["$ref"].rpartition("/")[2]]
        if options := kind.get("anyOf"):
            kind = next(o for o in options if (o.get("type") == "null") == (value is None))
            return check(value, kind)
        if kind.get("type") == "object":
            known = kind.get("properties", {})
            for name, part in value.items():
                more = kind.get("additionalProperties")
                assert name in known or more is not False, name
                check(part, known.get(name, more if isinstance(more, dict) else {}))
        elif kind.get("type") == "array" and isinstance(kind.get("items"), dict):
            for part in value:
                check(part, kind["items"])
        return None

    check(json.loads(encode(a_report())), document)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read as a report"),
        (b"[1]", "not the report of a benchmark"),
        (b'{"format": "denet-benchmark", "schema": 2}', "report schema 2"),
        (b'{"format": "denet-benchmark", "schema": 1}', "missing required field"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=words) as error:
        read_report(path)
    assert str(path) in str(error.value)
    with pytest.raises(BenchmarkError, match="there is no such report"):
        read_report(tmp_path / "none.json")


def test_a_report_of_a_newer_minor_field_is_refused_by_name(tmp_path: Path) -> None:
    document = json.loads(encode(a_report()))
    document["settings"]["colour"] = "red"
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BenchmarkError, match="colour"):
        read_report(path)


# Requests


def test_lists_are_written_with_commas() -> None:
    request = read_request(
        backend="ort-cpu, auto", precision="fp32,int8,fp32", parts="limits, states", batches="8,1"
    )
    assert request.backends == ("ort-cpu", "auto")
    assert request.precisions == ("fp32", "int8")
    assert request.parts == ("states", "limits")
    assert request.batches == (1, 8)


@pytest.mark.parametrize("batches", ["", "0", "1,x", "1000", "-1,2"])
def test_batches_are_numbers_of_samples(batches: str) -> None:
    with pytest.raises(BenchmarkError, match="batches"):
        read_request(backend="", precision="", parts=None, batches=batches)


@pytest.mark.parametrize("parts", ["states,latency", ","])
def test_parts_are_known(parts: str) -> None:
    with pytest.raises(BenchmarkError, match="choose from states, batches"):
        read_request(backend="", precision="", parts=parts, batches="1")


# The whole


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As little as can be measured."""
    monkeypatch.setattr(states, "STRETCHES", 2)
    monkeypatch.setattr(states, "TRACES", (2, 2))
    monkeypatch.setattr(states, "SWEEP", 1)
    monkeypatch.setattr(images, "STRETCHES", 2)
    monkeypatch.setattr(roofs, "SIDE", 64)
    monkeypatch.setattr(roofs, "SECONDS", 0.002)
    monkeypatch.setattr(roofs, "COPIES", (2**20, 2**22))
    for module in (stream, run):
        monkeypatch.setattr(module, "BATCH", 2)
        monkeypatch.setattr(module, "SAMPLES", 2 * (5 * 5 + 1))
    monkeypatch.setattr("runtime.benchmark.sections.BATCH", 2)


@pytest.fixture
def measured(bundle: Bundle, quick: None) -> Report:
    request = Request(
        backends=("ort-cpu",),
        parts=("states", "batches", "stream", "images", "limits"),
        rounds=4,
        batches=(1, 2),
        stream=draw_states(52, 0.5, 0),
    )
    return bench(bundle, request, clock=Tick(0.001))


def test_a_bundle_is_measured_in_every_state_and_engine(measured: Report, tmp_path: Path) -> None:
    (variant,) = measured.variants.values()
    assert list(measured.variants) == ["ort-cpu fp32"]
    assert list(variant.states) == list(variant.end_to_end) == [state.name for state in STATES]
    assert list(variant.engines) == list(ENGINES)
    for state in STATES:
        cost = variant.states[state.name]
        assert list(cost.breakdown.engines) == list(plan(state).engines)
        assert cost.latency.runs == 4
        assert cost.latency.p50 == pytest.approx(1)  # two readings of the clock
        assert cost.against_first is None
    for engine, cost in variant.engines.items():
        assert cost.limit is not None
        assert cost.limit.weight_bytes <= cost.bytes, engine
        assert cost.limit.share == pytest.approx(cost.limit.ms / cost.timing.p50)
    assert list(variant.batches) == [state.name for state in states.SWEPT]
    assert variant.batches[COMPLETE.name][2].per_second == pytest.approx(2000)
    assert variant.stream is not None
    assert measured.images is not None
    assert variant.dropouts == variant.starts == variant.monoliths == {}
    assert read_report(written(tmp_path, "r.json", measured)) == measured
    assert grids(measured)
    assert "<svg" not in page.page(measured)


def test_a_sample_of_each_state_is_compared_in_turn_where_there_are_two_precisions(
    outcome: Any, quick: None
) -> None:
    request = Request(
        backends=("ort-cpu",), precisions=("fp32", "int8"), parts=("states",), rounds=4
    )
    found = bench(outcome.bundle, request, clock=Tick(0.001))
    first, second = found.variants.values()
    assert second.precision.startswith("int8")
    assert all(cost.against_first is None for cost in first.states.values())
    ratios = [cost.against_first for cost in second.states.values()]
    assert [ratio.median for ratio in ratios if ratio] == pytest.approx([1.0] * 7)
    assert second.bytes < first.bytes


def test_the_same_variant_is_not_measured_twice(bundle: Bundle) -> None:
    request = Request(backends=("ort-cpu",), precisions=("auto", "fp32"), parts=("states",))
    with pytest.raises(BenchmarkError, match="ort-cpu fp32 here, which is measured already"):
        bench(bundle, request)


def test_without_onnx_limits_are_left_out_unless_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking() -> None:
        raise BenchmarkError("limits need onnx")

    monkeypatch.setattr(run, "check_onnx", lacking)
    notes: list[str] = []
    drawn = draw_states(stream.SAMPLES, 0.5, 0)
    assert "limits" not in run._possible(Request(stream=drawn), notes)
    assert notes == ["limits need onnx"]
    with pytest.raises(BenchmarkError, match="need onnx"):
        run._possible(Request(parts=("limits",)), notes)


def test_without_the_packages_of_a_page_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page.check_page()
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=r"jinja2.*'\.\[report\]'"):
        page.check_page()


def test_what_slowed_the_machine_down_is_told() -> None:
    before = {"CPU core": 3, "oc1": 0}
    assert slowed(before, before, ()) is None
    assert slowed(before, {"CPU core": 5, "oc1": 0, "oc2": 1}, ("GPU power cap",)) == (
        "GPU power cap, CPU core +2, oc2 +1"
    )


# Tables and page


def test_numbers_have_three_digits_or_so() -> None:
    assert [short(x) for x in (0.0194, 1.756, 17.56, 175.6)] == ["0.019", "1.76", "17.6", "176"]
    assert [percent(x) for x in (0.004, 0.093, 0.231)] == ["0.4", "9.3", "23"]


def lines_of(grid: Grid, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(grid.for_terminal())
    return console.export_text().splitlines()


def test_every_table_has_a_cell_for_each_head_and_fits_a_terminal() -> None:
    found = grids(a_report())
    assert len(found) == 18  # nine of each variant
    for grid in found:
        assert {len(row) for row in grid.rows} == {len(grid.heads)}, grid.title
        text = "\n".join(lines_of(grid))
        assert "…" not in text, f"{grid.title} is too wide:\n{text}"
        assert all(cell in text for row in grid.rows for cell in row)


def test_a_table_of_states_says_what_they_cost() -> None:
    first = grids(a_report())[0]
    row = dict(zip(first.heads, first.rows[0], strict=True))
    assert row["state"] == "rgb+nir+tir"
    assert (row["p50"], row["p99"], row["max"]) == ("60.0", "84.0", "120")
    assert (row["spread %"], row["outside %"]) == ("2.0", "5.0")
    assert not first.bad
    assert grids(a_report(spread=0.2))[0].bad == frozenset(range(7))


def test_a_ratio_that_says_nothing_is_marked() -> None:
    report = a_report()
    variant = report.variants["ort-cpu int8-vnni"]
    unsure = msgspec.structs.replace(against(1.0), verdict="too noisy to say")
    variant.states["rgb"] = msgspec.structs.replace(variant.states["rgb"], against_first=unsure)
    row = next(r for g in grids(report)[9:] for r in g.rows if r[0] == "rgb")
    assert row[-1] == "?1.000"


def test_what_is_too_noisy_is_named_and_the_worst_first() -> None:
    assert noise_notes({"v": a_variant()}) == []
    variant = a_variant(spread=0.2)
    variant.states["tir"] = a_state("tir", 20.0, 0.5, first=True)
    (note,) = noise_notes({"v": variant})
    assert note.startswith("v: 7 of 21 times are too noisy to quote (a spread over 10%): tir 50%,")


def test_a_report_says_where_and_how() -> None:
    said = summary(a_report())
    assert "2 threads" in said["run"]
    assert said["slowed down"] == "this machine does not tell"
    assert "no power rails" in said["energy"]
    assert "int8 2000" in said["best of ort-cpu"]
    assert "decode 1.50" in said["preprocessing"]
    slow = msgspec.structs.replace(a_report().machine, throttled="oc1 +3")
    assert summary(a_report(machine=slow))["slowed down"] == "oc1 +3"


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


def test_a_page_holds_everything_that_it_shows() -> None:
    report = a_report(notes=("the machine was busy",))
    shown = Page(page.page(report))
    assert shown.open == []
    assert len(shown.sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in shown.sources)
    text = " ".join(shown.text.split())
    assert "Benchmark of /models/<b>demo</b>.denet" in text
    assert "the machine was busy" in text
    for grid in grids(report):
        assert all(cell in text for row in grid.rows for cell in row)


def test_a_page_of_little_shows_little() -> None:
    variant = Variant(backend="ort-cpu", precision="fp32", reason="r", bytes=1)
    report = msgspec.structs.replace(
        a_report(variants={"ort-cpu fp32": variant}), images=None, roofs={}
    )
    assert Page(page.page(report)).sources == []


def test_a_bar_is_as_long_as_the_median() -> None:
    bar = page.stack(a_state("rgb", 24.0, 0.02, first=True))
    assert sum(bar.parts.values()) == pytest.approx(24.0)
    assert list(bar.parts)[-1] == "outside"


# Comparing


def test_two_equal_reports_differ_in_nothing() -> None:
    found = compare(a_report(), a_report())
    assert found.differences == ()
    assert {change.ratio for change in found.changes} == {1.0}
    assert not any(change.beyond_noise for change in found.changes)
    assert found.worse_than(1.0) == []


def test_a_change_is_beyond_the_noise_where_the_ranges_part() -> None:
    def state(old: Report, new: Report) -> Any:
        changes = compare(old, new).changes
        return next(change for change in changes if change.what == "rgb+nir+tir")

    assert not state(a_report(spread=0.3), a_report(1.1, spread=0.3)).beyond_noise
    slower = state(a_report(spread=0.05), a_report(1.2, spread=0.05))
    assert slower.beyond_noise
    assert slower.ratio == pytest.approx(1.2)
    assert slower.worse_than(1.1)
    assert not slower.worse_than(1.25)
    faster = state(a_report(spread=0.05), a_report(0.8, spread=0.05))
    assert faster.beyond_noise
    assert not faster.worse_than(1.0)


def test_a_limit_applies_to_what_a_user_waits_for() -> None:
    judged = {
        change.what for change in compare(a_report(), a_report()).changes if change.new.judged
    }
    assert {"rgb", "rgb, batch 8", "mixed states, batched", "tir, from files"} <= judged
    assert {"cold start, all", "host memory, rgb", "engines on disk", "preprocessing"} <= judged
    assert "branch_rgb" not in judged
    assert "first without rgb" not in judged


def test_what_else_differs_is_said() -> None:
    other = msgspec.structs.replace(
        a_report().machine,
        name="Another",
        facts={"versions": {"onnxruntime": "1.30.0"}},
        throttled="oc1 +3",
    )
    told = compare(a_report(), a_report(machine=other)).differences
    assert told == (
        "different machines: A processor and Another",
        "different onnxruntime: 1.31.1 and 1.30.0",
        "the second was slowed down: oc1 +3",
    )


def test_only_what_both_have_is_compared() -> None:
    fewer = a_report(variants={"ort-cpu fp32": a_variant()})
    assert {change.variant for change in compare(a_report(), fewer).changes} == {
        "ort-cpu fp32",
        "images",
    }
    none = a_report(variants={"ort-cuda fp16": a_variant()})
    with pytest.raises(BenchmarkError, match="nothing in common"):
        compare(a_report(), none)


def test_a_comparison_shows_states_and_what_changed() -> None:
    found: Comparison = compare(a_report(), a_report(1.2))
    grid = comparison_grid(found, 1.1)
    shown = [row[0] for row in grid.rows]
    assert "ort-cpu fp32: rgb" in shown
    assert "ort-cpu fp32: engines on disk" not in shown
    assert re.fullmatch(r"\d+ others did not change beyond the noise", grid.note)
    assert len(shown) + int(grid.note.split()[0]) == len(found.changes)
    assert grid.bad
    facts = comparison_facts(found, found.worse_than(1.1))
    assert len(facts["changes"]) == len(found.changes)
    assert sum(change["too_much"] for change in facts["changes"]) == len(grid.bad)


# The command line


@pytest.fixture
def short_bench(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("runtime.benchmark.turns.WARM_RUNS", 1)


@pytest.mark.usefixtures("short_bench")
def test_bench_measures_writes_and_compares(bundle_path: Path, tmp_path: Path) -> None:
    json_path, html = tmp_path / "a.json", tmp_path / "a.html"
    arguments = ["--only", "states", "--rounds", "2", "--backend", "ort-cpu"]
    done = denet("bench", bundle_path, *arguments, "--out", json_path, "--report", html)
    assert done.exit_code == 0, done.output
    assert "one sample, ms" in done.output
    for state in STATES:
        assert state.name in done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.json"]
    report = read_report(json_path)
    assert report.settings.parts == ("states",)
    assert len(Page(html.read_text()).sources) == 1
    again = denet("bench", "run", bundle_path, *arguments, "--json")
    assert again.exit_code == 0, again.output
    assert msgspec.json.decode(again.stdout, type=Report, strict=False).bundle == report.bundle
    compared = denet("bench", "compare", json_path, json_path)
    assert compared.exit_code == 0, compared.output
    assert "others did not change beyond the noise" in compared.output


def test_a_change_beyond_the_limit_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    old = written(tmp_path, "a.json", a_report())
    new = written(tmp_path, "b.json", a_report(1.2))
    assert denet("bench", "compare", old, new).exit_code == 0
    assert denet("bench", "compare", old, new, "--fail-above", "1.25").exit_code == 0
    failed = denet("bench", "compare", old, new, "--fail-above", "1.10")
    assert failed.exit_code == 1
    assert "ort-cpu fp32: rgb+nir+tir: 60.0 ms became 72.0 ms, 1.200 times" in failed.output
    assert denet("bench", "compare", new, old, "--fail-above", "1.10").exit_code == 0
    facts = json.loads(denet("bench", "compare", old, new, "--fail-above", "1.1", "--json").stdout)
    assert any(change["too_much"] for change in facts["changes"])


REFUSALS: dict[str, tuple[Callable[[Path], list[object]], tuple[str, ...]]] = {
    "no bundle": (lambda p: [p / "none.denet"], ("none.denet", "no such bundle")),
    "unknown part": (lambda p: [p / "b.denet", "--only", "latency"], ("'latency'", "states")),
    "batches": (lambda p: [p / "b.denet", "--batches", "0"], ("batches '0'",)),
    "out": (lambda p: [p / "b.denet", "--out", p / "x.txt"], ("x.txt", "written as .json")),
    "out exists": (lambda p: [p / "b.denet", "--out", p / "here.json"], ("here.json", "--force")),
    "report": (lambda p: [p / "b.denet", "--report", p / "no" / "x.html"], ("does not exist",)),
    "graphs": (lambda p: [p / "b.denet", "--monolithic", p / "none"], ("none", "no such folder")),
    "images": (lambda p: [p / "b.denet", "--images", p / "none"], ("none", "no such folder")),
    "precision": (lambda p: [p / "b.denet", "--precision", "int4"], ("'int4'",)),
    "no report": (lambda p: ["compare", p / "a.json", p / "a.json"], ("a.json", "no such report")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_one_line(case: str, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "b.denet").symlink_to(bundle_path)
    (tmp_path / "here.json").write_text("{}")
    arguments, words = REFUSALS[case]
    before = sorted(tmp_path.iterdir())
    refused(denet("bench", *arguments(tmp_path)), *words)
    assert sorted(tmp_path.iterdir()) == before


def test_help_is_of_both_commands() -> None:
    shown = denet("bench", "--help").output
    assert "denet bench BUNDLE" in shown
    assert "compare" in shown
    assert denet("bench").exit_code in (0, 2)  # help; by click's version
    names = [command.name for command in cli.bench.registered_commands]
    assert names == ["run", "compare"]
