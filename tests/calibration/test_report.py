"""What a calibration tells a person: tables, facts, plots, and the page."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from calibration import plots, report
from calibration.choose import Selection
from calibration.emit import Emitted
from calibration.errors import CalibrationError
from calibration.judge import Effect, Effects
from calibration.outcome import Outcome, Request
from calibration.plots import Scale, change_figure, fleet_figure, sensitivity_figure, time_figure
from calibration.report import (
    asked,
    check_report,
    delivered,
    engine_table,
    outcome_facts,
    reasons,
    report_html,
    shown_forms,
    variant_table,
    worst_alone,
    write_report,
)
from calibration.samples import Chosen, Samples
from denet.data.records import Record
from denet.figures import style
from denet.graph import COMPLETE, ENGINES, STATES, State, plan
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import FORMS, Form
from runtime.bundle.manifest import (
    Canary,
    Engine,
    File,
    HeadSpec,
    Manifest,
    NormalizationSpec,
    Preprocessing,
)
from runtime.preprocess import Preprocessor

TIR = State.parse("tir")
BUDGET = 0.5

NORMAL = NormalizationSpec(mean=(0, 0, 0), std=(1, 1, 1), range16=(0, 65535))
PREPROCESSING = Preprocessing(
    height=8,
    width=4,
    interpolation="bilinear",
    modalities={"rgb": NORMAL, "nir": NORMAL, "tir": NORMAL},
)

REFUSED = "an activation of 91234 is beyond <65504>"
COSTS = "int8-vnni costs too much: with it tir loses 0.9 in all, more than 0.5; fp32 instead"


def file(size: int) -> File:
    return File(path="x", sha256="0" * 64, bytes=size)


def bundle_at(root: str) -> Bundle:
    """A bundle that is nowhere, whose FP32 engines have a megabyte each."""
    manifest = Manifest(
        format="denet-bundle",
        schema=1,
        tools={},
        checkpoint_sha256="0" * 64,
        model={},
        channels=8,
        feature_size=(1, 1),
        preprocessing=PREPROCESSING,
        engines={
            e: Engine(inputs=(), outputs=(), flops=1, files={"fp32": file(1_000_000)})
            for e in ENGINES
        },
        default_precision="mixed",
        head=HeadSpec(dim=48, normalize=True, affine=None),
        canary=Canary(file=file(1), min_cosine={"fp32": 0.999}),
    )
    return Bundle(Path(root), manifest)


def effect(change: float | None, cosine: float = 0.9987) -> Effect:
    """Of FP32 with 80 % mAP; a mixed fleet loses a tenth of a point more."""
    if change is None:
        return Effect(cosine, cosine - 0.001, 0.95)
    interval = (change - 0.2, change + 0.1)
    after = 80 + change
    return Effect(cosine, cosine - 0.001, 0.95, 80, after, change, interval, after - 0.1, after)


def effects(worst: float | None, engine: str | None = None, cosine: float = 0.9987) -> Effects:
    """State by state less is lost, from `worst` on; nothing where `engine` is not run."""
    found: Effects = {}
    for index, state in enumerate(STATES):
        if engine is not None and engine not in plan(state).engines:
            found[state] = effect(None if worst is None else 0.0, 1.0)
        else:
            found[state] = effect(
                None if worst is None else worst / (1 + index), 1 - (1 - cosine) / (1 + index)
            )
    return found


def an_outcome(*, labelled: bool = True, forms: tuple[Form, ...] = ("int8-vnni",)) -> Outcome:
    """branch_rgb costs too much, branch_tir is slow, cmft_rgb2nir is refused; else all is well."""
    models = {(e, f): bytes(250_000) for e in ENGINES for f in forms}
    refused = {("cmft_rgb2nir", form): REFUSED for form in forms}
    for key in refused:
        del models[key]
    times: dict[str, dict[Form, float]] = {
        e: {"fp32": 2.0, **{f: 0.5 for f in forms if f != "int8-trt" and (e, f) in models}}
        for e in ENGINES
    }
    if "int8-vnni" in forms:
        times["branch_tir"]["int8-vnni"] = 3.25
    left = {"branch_rgb", "branch_tir", "cmft_rgb2nir"}
    mixed: dict[str, Form] = {e: "fp32" if e in left else "int8-vnni" for e in ENGINES}
    whole: dict[str, Form] = {e: "fp32" if e == "cmft_rgb2nir" else "int8-vnni" for e in ENGINES}
    change = -0.34 if labelled else None
    records = tuple(Record(f"r{i}", i // 4, i % 2, {}) for i in range(20))
    preprocess = Preprocessor(PREPROCESSING)
    effects_of = {"int8-vnni": effects(-0.9 if labelled else None, cosine=0.97)} | {
        "mixed-vnni": effects(change)
    }
    alone = {
        key: effects(
            None if not labelled else -0.77 if key == ("branch_rgb", "int8-vnni") else -0.02, key[0]
        )
        for key in models
    }
    return Outcome(
        bundle=bundle_at("/models/<b>demo</b>.denet"),
        request=Request(data=Path("/data/a&b"), targets=("vnni",), threads=2),
        samples=Samples(
            Chosen(records[:16], COMPLETE, preprocess, "/data/a&b"),
            Chosen(records, COMPLETE, preprocess, "/data/<judge>"),
            labelled,
            (),
        ),
        budget=BUDGET if labelled else 0.01,
        emitted=Emitted(models, refused),
        alone=alone,
        whole=effects_of,
        times=times,
        selections={"vnni": Selection(mixed, effects_of["mixed-vnni"], {"branch_rgb": COSTS})},
        notes=("2 of 20 samples are left out", *Emitted({}, refused).describe_refused()),
        forms={"int8-vnni": whole, "mixed-vnni": mixed},
    )


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return an_outcome()


@pytest.fixture(scope="module")
def unlabelled() -> Outcome:
    return an_outcome(labelled=False)


def shown(table: Table, width: int = 110) -> str:
    console = Console(width=width, file=None, record=True, force_terminal=True)
    with console.capture() as capture:
        console.print(table)
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get())


def row(text: str, first: str) -> str:
    return next(line for line in text.splitlines() if re.match(rf"\W+{re.escape(first)} ", line))


# Facts


def test_facts_are_plain_data(outcome: Outcome) -> None:
    facts = outcome_facts(outcome)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["bundle"] == "/models/<b>demo</b>.denet"
    assert facts["request"]["data"] == "/data/a&b"
    assert facts["samples"]["judged"] == {
        "source": "/data/<judge>", "samples": 20, "state": "rgb+nir+tir", "identities": 5,
    }  # fmt: skip
    assert facts["budget"] == {"value": BUDGET, "unit": "mAP points"}
    assert facts["machine"]["cpu"]
    mixed = facts["variants"]["mixed-vnni"]
    assert mixed["bytes"] == 3 * 1_000_000 + 12 * 250_000
    assert set(mixed["states"]) == {state.name for state in STATES}
    assert mixed["states"]["rgb+nir+tir"]["loss"] == pytest.approx(0.34)
    assert mixed["states"]["rgb+nir+tir"]["interval"] == pytest.approx([-0.54, -0.24])
    engines = facts["engines"]
    assert list(engines) == list(ENGINES)
    assert engines["branch_rgb"]["fp32"] == {"ms": 2.0, "bytes": 1_000_000}
    assert engines["branch_rgb"]["int8-vnni"] == {
        "ms": 0.5, "bytes": 250_000, "worst_state": "rgb+nir+tir", "worst_loss": 0.77,
        "least_cosine": pytest.approx(0.9987),
    }  # fmt: skip
    assert engines["cmft_rgb2nir"]["int8-vnni"] == {"refused": REFUSED}
    assert facts["selections"]["vnni"]["forms"]["branch_nir"] == "int8-vnni"
    assert facts["notes"] == list(outcome.notes)


def test_facts_without_labels(unlabelled: Outcome) -> None:
    facts = outcome_facts(unlabelled)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["samples"]["labelled"] is False
    assert facts["samples"]["judged"]["identities"] is None
    assert facts["budget"]["unit"] == "1 - mean cosine"
    state = facts["variants"]["mixed-vnni"]["states"]["rgb+nir+tir"]
    assert state["map"] is None
    assert state["interval"] is None
    assert state["loss"] == pytest.approx(0.0013)


def test_only_states_that_run_an_engine_say_how_sensitive_it_is(outcome: Outcome) -> None:
    # All states gain by it but those that do not run it, which stay as they were.
    gain = {("cmft_tir2rgb", "int8-vnni"): effects(0.4, "cmft_tir2rgb")}
    (found,) = worst_alone(replace(outcome, alone=gain)).values()
    assert "cmft_tir2rgb" in plan(found[0]).engines
    assert found[1] < 0


def test_every_engine_that_is_left_in_a_slower_form_has_a_reason(outcome: Outcome) -> None:
    assert reasons(outcome, "vnni") == {
        "branch_rgb": COSTS,
        "branch_tir": "int8-vnni is no faster here: 3.25 ms, and fp32 2.00 ms",
        "cmft_rgb2nir": f"int8-vnni cannot be had: {REFUSED}",
    }


# Tables


@pytest.mark.parametrize("width", [100, 120])
def test_variants_in_a_terminal(outcome: Outcome, width: int) -> None:
    text = shown(variant_table(outcome, "mixed-vnni"), width)
    assert "…" not in text
    assert "mixed-vnni beside FP32, 20 samples" in text
    assert "budget: 0.5 points of mAP" in text
    first = row(text, "rgb+nir+tir")
    for number in ("0.99870", "0.99770", "95.0", "80.00", "79.66", "-0.34 (-0.54, -0.24)", "79.56"):
        assert number in first
    for state in STATES:
        assert row(text, state.name)


def test_what_breaks_the_budget_is_red(outcome: Outcome) -> None:
    rows = variant_table(outcome, "int8-vnni").rows
    assert [r.style for r in rows] == ["red"] + [None] * 6
    assert not any(r.style for r in variant_table(outcome, "mixed-vnni").rows)


def test_variants_without_labels(unlabelled: Outcome) -> None:
    text = shown(variant_table(unlabelled, "mixed-vnni"))
    assert "0.99870" in row(text, "rgb+nir+tir")
    assert "mAP" not in text
    assert "0.99" in text.splitlines()[-2] + text.splitlines()[-1]


def test_engines_in_a_terminal(outcome: Outcome) -> None:
    text = shown(engine_table(outcome), 100)
    assert "…" not in text
    lines = text.splitlines()
    at = lines.index(row(text, "branch_rgb"))
    assert re.search(r"2\.00 +1\.00 ✓ .* 0\.500 +0\.250 +│", lines[at])
    assert "for vnni" in lines[at + 1]
    assert "-0.77 rgb+nir+tir" in lines[at + 1]
    assert re.search(r"2\.00 +1\.00 +│ +0\.500 +0\.250 ✓", row(text, "branch_nir"))
    assert "refused" in row(text, "cmft_rgb2nir")
    assert re.search(r"30\.0 +15\.0 +│ +- +- +│", row(text, "all 15"))
    assert "✓: chosen by mixed-vnni" in text


def test_engines_in_all_forms_fit_a_terminal() -> None:
    text = shown(engine_table(an_outcome(forms=FORMS[1:])), 120)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 120
    for form in FORMS:
        assert form in text


def test_engines_without_labels_or_times(unlabelled: Outcome) -> None:
    text = shown(engine_table(replace(unlabelled, times={})))
    assert re.search(r"- +1\.00", row(text, "branch_nir"))
    assert "0.99870 rgb+nir+tir" in text
    assert "mAP" not in text


# Plots


def test_plots_look_as_the_figures_of_the_project() -> None:
    same = ("INK", "MUTED", "GRID", "RIGHT", "WRONG", "SERIES", "STYLE", "DOTS", "PIXELS_PER_INCH")
    for name in same:
        assert getattr(plots, name) == getattr(style, name), name


def test_titles_say_what_is_seen(outcome: Outcome) -> None:
    scale = Scale(True, BUDGET)
    inside = {"mixed-vnni": outcome.whole["mixed-vnni"]}
    title = change_figure(inside, scale).get_suptitle()
    assert title == "Every state is inside the budget of 0.5 points of mAP"
    assert change_figure(outcome.whole, scale).get_suptitle().endswith(": int8-vnni")
    title = sensitivity_figure(worst_alone(outcome), (), (), scale).get_suptitle()
    assert "branch_rgb in int8-vnni" in title
    assert "0.77 points of mAP, more than the budget" in title
    title = fleet_figure(inside, scale).get_suptitle()
    assert "at most 0.44 points of mAP: mixed-vnni in rgb+nir+tir" in title
    title = time_figure({"branch_rgb": {"fp32": 2.0, "int8-vnni": 0.5}}, "a CPU").get_suptitle()
    assert "4.0 times as fast: 1 of 1 engines take 0.500 ms instead of 2.00" in title
    title = time_figure(outcome.times, "a CPU").get_suptitle()
    assert "14 of 15 engines take 9.75 ms instead of 28.0" in title
    title = time_figure({"branch_rgb": {"fp32": 2.0, "int8-vnni": 4.0}}, "a CPU").get_suptitle()
    assert "int8-vnni is slower, 0.5 times as fast" in title


def test_plots_of_extremes() -> None:
    nothing = {"fp16": {state: effect(0.0, 1.0) for state in STATES}}
    for scale in (Scale(True, 0.0), Scale(True, 100.0), Scale(False, 0.0)):
        plots.render(lambda scale=scale: change_figure(nothing, scale))
    one = {("dem_rgb2nir", "fp16"): (TIR, 0.0)}
    figure = sensitivity_figure(one, (), (), Scale(True, 0.0))
    assert figure.get_suptitle() == "No engine alone costs any state anything"
    disaster = {"int8-vnni": {TIR: effect(-79.0)}}
    ((shown_axes,),) = [change_figure(disaster, Scale(True, BUDGET)).axes]
    assert shown_axes.get_xlim()[0] > -5


# The page


class Reader(HTMLParser):
    """Sees that tags are closed in order, and keeps the text and what is pointed to."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def test_the_page(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(outcome, path, replace=False)
    assert list(tmp_path.iterdir()) == [path]
    page = path.read_text(encoding="utf-8")
    reader = read(page)
    text = reader.text
    for state in STATES:
        assert state.name in text
    for reason in (*reasons(outcome, "vnni").values(), *outcome.notes):
        assert reason in text
    assert asked(outcome) in text
    assert "at most 0.34 points of mAP, in rgb+nir+tir" in text
    assert "In rgb+nir+tir the loss is inside the budget, but its interval reaches beyond" in text
    assert "Beside devices in FP32 at most 0.44 points are lost, in rgb+nir+tir." in text
    assert "3 in fp32 and 12 in int8-vnni" in text
    assert "6.0 MB" in text
    assert "-0.34 (-0.54, -0.24)" in text
    for plot in ("changes", "sensitivity", "times", "fleet"):
        assert html.escape(report.CAPTIONS[plot]) in page.replace("&#39;", "&#x27;")
    assert len(reader.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    # Names are shown as they are, and do nothing.
    assert "/models/<b>demo</b>.denet" in text
    assert "<b>demo" not in page
    assert "<judge>" not in page
    assert "beyond <65504>" in text


def test_the_page_without_labels_and_times(unlabelled: Outcome) -> None:
    reader = read(report_html(replace(unlabelled, times={}, notes=())))
    assert len(reader.sources) == 2
    assert "mAP" not in reader.text
    assert "the mean cosine to FP32 may fall below 0.99 in no missing state" in reader.text
    assert "at most 0.00130 of the mean cosine, in rgb+nir+tir" in reader.text
    assert "not measured on this machine" in reader.text
    for state in STATES:
        assert state.name in reader.text


def test_a_precision_by_name_is_what_is_delivered(outcome: Outcome) -> None:
    assert delivered(outcome) == ["mixed-vnni"]
    named = replace(
        outcome, request=replace(outcome.request, precision="int8"), selections={}, budget=1.0
    )
    assert delivered(named) == ["int8-vnni"]
    assert asked(named).startswith("Asked for: all engines in INT8 for CPUs with VNNI; ")
    assert shown_forms(named) == ["fp32", "int8-vnni"]
    assert "✓" not in shown(engine_table(named))


def test_a_report_that_cannot_be_written_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    there = tmp_path / "there.html"
    there.write_text("old")
    (tmp_path / "folder.html").mkdir()
    for path, words in (
        (there, "exists already: choose another name, or replace it with --force"),
        (tmp_path / "report.pdf", ".html"),
        (tmp_path / "none" / "report.html", "folder that does not exist"),
        (tmp_path / "folder.html", "is a folder"),
    ):
        with pytest.raises(CalibrationError, match=re.escape(words)) as error:
            check_report(path, replace=False)
        assert str(path) in str(error.value)
    with pytest.raises(CalibrationError, match="exists already"):
        write_report(outcome, there, replace=False)
    assert there.read_text() == "old"
    check_report(there, replace=True)


def test_a_report_replaces_another_whole_or_not_at_all(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(report, "report_html", lambda _: "new")
    write_report(outcome, path, replace=True)
    assert path.read_text() == "new"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CalibrationError, match="cannot be written: No space left"):
        write_report(outcome, path, replace=True)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_reports_need_no_torch() -> None:
    code = "import calibration.report, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
