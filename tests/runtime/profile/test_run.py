"""A profile of a real bundle, on the CPU and on a recording GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import runtime.profile.run as subject
from calibration import Outcome
from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Bundle, Runtime
from runtime.backends import Choice
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.profile.result import ProfileReport, schema
from runtime.profile.run import ProfileRequest, profile
from tests.command import denet, refused
from tests.runtime.backends.tensorrt.machines import Machine, composer_of, write_engines
from tests.runtime.profile.test_timeline import check_trace

STATES = RGB_NIR_TIR.states


def test_a_bundle_is_profiled_in_every_state_engine_and_layer(bundle: Bundle) -> None:
    found, timeline = profile(bundle, ProfileRequest("ort-cpu", rounds=2))
    assert list(found.states) == [state.name for state in STATES]
    for state in STATES:
        mine = found.states[state.name]
        assert list(mine.engines) == list(mine.breakdown.engines)
        assert mine.engines.keys() == set(RGB_NIR_TIR.plan(state).engines)
        for engine, layers in mine.engines.items():
            assert sum(layer.share for layer in layers.layers) == pytest.approx(1)
            assert 0 < sum(layer.ms for layer in layers.layers) < 2 * layers.ms, engine
    branch = found.states["tir"].engines["branch_tir"].layers
    assert any(layer.weights.startswith("branch.backbone.") for layer in branch)
    trace = json.loads(timeline.encode())
    check_trace(trace)


def test_a_batch_of_chosen_states(bundle: Bundle) -> None:
    found, _ = profile(bundle, ProfileRequest("ort-cpu", states=("tir+rgb",), batch=3, rounds=1))
    assert list(found.states) == ["rgb+tir"]
    assert found.batch == 3


def test_tensorrt_tells_layers_and_an_engine_file_bounds_the_batch(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_engines(Bundle.open(copied), dict.fromkeys(RGB_NIR_TIR.engines, "fp32"), BuildOptions())
    machine = Machine(Bundle.open(copied))

    def load(bundle: Bundle, request: ProfileRequest) -> Runtime:
        backend = composer_of(machine).backend
        choice = Choice(backend, "fp32", "fp32", dict.fromkeys(RGB_NIR_TIR.engines, "fp32"), "")
        return Runtime(bundle, choice, request.batch)

    monkeypatch.setattr(subject, "_load", load)
    found, timeline = profile(machine.bundle, ProfileRequest(states=("rgb+tir",), rounds=2))
    layers = found.states["rgb+tir"].engines["branch_tir"].layers
    assert [(each.name, each.operator) for each in layers] == [
        ("branch_tir conv", "Convolution"), ("what is not inspected", ""),
    ]  # fmt: skip
    assert [each.share for each in layers] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert found.states["rgb+tir"].breakdown.enqueued is not None
    for device in machine.devices:
        assert not device.complaints
    check_trace(json.loads(timeline.encode()))
    with pytest.raises(BackendError, match=r"batches of 16 at most, not of 17.*--batch"):
        profile(machine.bundle, ProfileRequest(states=("tir",), batch=17, rounds=1))


def test_the_command_prints_writes_and_ranks_layers(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    root, out, trace = outcome.bundle.root, tmp_path / "p.json", tmp_path / "t.json"
    short = ["--rounds", 1, "--state", "tir", "--backend", "ort-cpu"]
    done = denet("profile", root, *short, "--out", out, "--trace", trace)
    assert done.exit_code == 0, done.output
    assert "costliest of" in done.output
    found = json.loads(out.read_bytes())
    assert msgspec.convert(found, ProfileReport).errors is None
    check_trace(json.loads(trace.read_bytes()))
    refused(denet("profile", root, *short, "--out", out), "p.json", "--force")
    refused(denet("profile", root, *short, "--out", trace, "--force"), "t.json", "not a profile")
    again = denet("profile", root, *short, "--out", out, "--force", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["states"].keys() == {"tir"}


def test_a_report_is_as_the_schema_says(outcome: Outcome, tmp_path: Path) -> None:
    reason = "comes with kubernetes-validate, which `.ci/run` installs"
    jsonschema = pytest.importorskip("jsonschema", reason=reason)
    asked = ["--rounds", 1, "--state", "tir", "--backend", "ort-cpu"]
    done = denet("profile", outcome.bundle.root, *asked, "--out", tmp_path / "p.json")
    assert done.exit_code == 0, done.output
    jsonschema.validate(json.loads((tmp_path / "p.json").read_bytes()), json.loads(schema()))


REFUSALS: dict[str, tuple[Callable[[Path], list[object]], tuple[str, ...]]] = {
    "no bundle": (lambda p: [p / "none.denet"], ("none.denet", "no such bundle")),
    "state": (lambda p: [p / "b.denet", "--state", "uv"], ("unknown state 'uv'",)),
    "out": (lambda p: [p / "b.denet", "--out", p / "x.txt"], ("x.txt", "written as .json")),
    "twice": (lambda p: [p / "b.denet", "--out", p / "x.json", "--trace", p / "x.json"],
              ("x.json", "choose two")),
    "images": (lambda p: [p / "b.denet", "--images", p], ("--images", "--errors")),
    "variant": (lambda p: [p / "b.denet", "--errors", "int4"], ("no variant 'int4'", "fp32")),
    "here": (lambda p: [p / "b.denet", "--errors", "here", "--precision", "fp32"],
             ("nothing is INT8 in fp32", "denet calibrate")),
    "backend": (lambda p: [p / "b.denet", "--backend", "x"], ("unknown backend 'x'",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_one_line(case: str, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "b.denet").symlink_to(bundle_path)
    arguments, words = REFUSALS[case]
    before = sorted(tmp_path.iterdir())
    refused(denet("profile", *arguments(tmp_path)), *words)
    assert sorted(tmp_path.iterdir()) == before
