"""Building with NVIDIA's parser and compiler."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from calibration import Outcome
from export.tensorrt import process
from export.tensorrt.build import build_engines
from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, Built
from runtime import Bundle
from runtime.backends.tensorrt.files import (
    profile_of,
)
from runtime.backends.tensorrt.machine import (
    BuildOptions,
    load_tensorrt,
    this_machine,
)
from runtime.bundle.forms import Form
from tests.command import denet
from tests.conftest import copied
from tests.export.tensorrt.parts import (
    BRANCH,
    CMFT,
    EDGE,
    ENGINES,
    FORMS,
    PRECISION,
    build,
    leftovers,
    replace_model,
    unsupported,
)
from tests.paths import ROOT
from tests.runtime.backends.tensorrt.machines import find_own


@pytest.fixture(scope="module")
def calibrated(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated bundle to build in."""
    return copied(outcome.bundle.root, tmp_path_factory.mktemp("built"))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines for which a process was started."""
    started: list[str] = []
    run = process.run

    def noted(request: BuildRequest, notify: Callable[[BuildProgress], None]) -> Built:
        started.append(f"{request.spec.engine} {request.spec.form}")
        return run(request, notify)

    monkeypatch.setattr(process, "run", noted)
    return started


@pytest.mark.tensorrt
@pytest.mark.parametrize("form", FORMS)
def test_all_engines_build_and_are_kept(form: Form, calibrated: Path, processes: list[str]) -> None:
    bundle = Bundle.open(calibrated)
    told: list[tuple[str, float, int]] = []
    made = build_engines(
        bundle, PRECISION[form], BuildOptions(), notify=lambda *facts: told.append(facts)
    )
    assert processes == [f"{name} {form}" for name in ENGINES]
    assert not leftovers(calibrated)
    for name, result in made.engines.items():
        facts = result.engine.facts
        assert b"trt" in result.engine.read()[:4]
        layers = facts.layers
        model = onnx.load_from_string(bundle.read_engine(name, form))
        convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
        if form == "fp32":
            assert layers.int8 == layers.fp16 == 0 < layers.fp32
        elif form == "fp16" or name.startswith("dem"):
            assert layers.int8 == layers.fp32 == 0 < layers.fp16
        else:
            assert layers.int8 == convolutions - name.startswith("branch") > 0
    assert (made.folder / "timing.cache").stat().st_size > 0
    # BuildProgress is told within engines, and never goes back.
    amounts = [done for _, done, _ in told]
    assert amounts == sorted(amounts)
    assert len({done for done in amounts if done % 1}) >= 15
    assert any("Building engine" in what for what, _, _ in told)

    processes.clear()
    again = build_engines(bundle, PRECISION[form], BuildOptions())
    assert processes == []  # 15 before
    assert not any(result.built for result in again.engines.values())


@pytest.mark.tensorrt
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", [BRANCH, CMFT, EDGE])
def test_a_network_is_what_the_manifest_says(engine: str, form: Form, outcome: Outcome) -> None:
    import tensorrt as trt

    entry = outcome.bundle.manifest.engines[engine]
    logger = trt.Logger(trt.Logger.ERROR)
    made = trt.Builder(logger)
    network = made.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(outcome.bundle.read_engine(engine, form))
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    for tensors, specs in ((inputs, entry.inputs), (outputs, entry.outputs)):
        found = {t.name: (t.dtype, tuple(t.shape)) for t in tensors}
        assert found == {
            s.name: (trt.float32, tuple(d if isinstance(d, int) else -1 for d in s.shape))
            for s in specs
        }
    profile = made.create_optimization_profile()
    for name, shapes in profile_of(entry, (1, 4, 16)).items():
        profile.set_shape(name, *shapes)
        assert [tuple(shape) for shape in profile.get_shape(name)] == list(shapes)
    assert made.create_builder_config().add_optimization_profile(profile) == 0


@pytest.mark.tensorrt
def test_what_nvidias_parser_refuses_is_one_clear_error(root: Path) -> None:
    unsupported(root, BRANCH)
    with pytest.raises(BuildError, match=rf"{BRANCH} \(fp32\): not built: node \w+ \(Det\): uns"):
        build(root)
    replace_model(root, BRANCH, b"no ONNX")
    with pytest.raises(BuildError, match=f"{BRANCH}.*not an ONNX model"):
        build(root)
    assert not leftovers(root)
    assert not list(root.glob("trt/*/*/*"))


@pytest.mark.tensorrt
def test_a_graph_that_does_not_add_up_is_one_clear_error(root: Path) -> None:
    model = onnx.load_model(root / "onnx" / "fp32" / f"{BRANCH}.onnx")
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.input[0] = "no such tensor"
    replace_model(root, BRANCH, model.SerializeToString())
    with pytest.raises(BuildError, match=f"{BRANCH} .fp32.: not built: node .*{node.name}"):
        build(root)
    assert not leftovers(root)


@pytest.mark.tensorrt
def test_what_nvidias_builder_refuses_is_one_clear_error(root: Path) -> None:
    if getattr(load_tensorrt(), "__backend__", "") == "":
        pytest.skip("TensorRT itself has the library")
    with pytest.raises(BuildError, match=f"{BRANCH} .fp32.: not built: .*libnvinfer_lean"):
        build(root, version_compatible=True)
    assert not leftovers(root)


@pytest.mark.tensorrt
def test_build_runs_through_the_command_line(calibrated: Path, tmp_path: Path) -> None:
    root = copied(calibrated, tmp_path)
    shutil.rmtree(root / "trt", ignore_errors=True)
    result = denet("build", root, "--precision", "auto", "--batch", "1:2:8", "--opt-level", 1)
    assert result.exit_code == 0, result.output
    assert "TensorRT, mixed" in result.output
    assert "15 of them built now" in result.output
    facts = json.loads(denet("build", root, "--batch", "1:2:8", "--opt-level", 1, "--json").stdout)
    assert not any(engine["built"] for engine in facts["engines"].values())
    mixed = Bundle.open(root).manifest.mixed["trt"].engines
    assert {name: engine["form"] for name, engine in facts["engines"].items()} == mixed


@pytest.mark.tensorrt
def test_export_runs_through_to_engines(checkpoint: Path, tmp_path: Path) -> None:
    to = tmp_path / "new.denet"
    result = denet("export", checkpoint, "--out", to, "--trt", "--batch", "1:1:4")
    assert result.exit_code == 0, result.output
    assert "agrees with PyTorch" in result.output
    assert "15 of them built now" in result.output
    here = this_machine(load_tensorrt())
    found = find_own(Bundle.open(to), here, dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing
    assert all(e.facts.spec.options.batch == (1, 1, 4) for e in found.engines.values())


@pytest.mark.tensorrt
def test_a_build_that_is_killed_goes_on_where_it_stopped(root: Path, processes: list[str]) -> None:
    command = [sys.executable, "-c", "import cli; cli.app()", "build", str(root)]
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(root.glob("trt/*/fp32/*.json"))) < 3:
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()
    whole = {path.stem for path in root.glob("trt/*/fp32/*.json")}
    assert 3 <= len(whole) < 15
    build(root)
    # The engine may have been renamed without its facts; then it is built again.
    assert set(ENGINES) - whole == {name.split()[0] for name in processes}
    here = this_machine(load_tensorrt())
    found = find_own(Bundle.open(root), here, dict.fromkeys(ENGINES, "fp32"))
    assert len([engine.read() for engine in found.engines.values()]) == 15
    assert not leftovers(root)
