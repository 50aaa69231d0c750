"""`denet build`, and `denet export --trt`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration import Outcome
from export.tensorrt import build as tensorrt
from export.tensorrt.request import BuildError
from runtime import Bundle
from runtime.backends.tensorrt.machine import BuildOptions
from tests.command import denet, refused
from tests.conftest import copied
from tests.export.tensorrt.parts import DESKTOP, EDGE, ENGINES, NO_GPU, Builder, change_manifest
from tests.paths import FAKE, ROOT


def test_build_tells_what_it_built(root: Path, builder: Builder) -> None:
    result = denet("build", root)
    assert result.exit_code == 0, result.output
    for word in (*ENGINES, "3 / 2 / 1", "15 of them built now", "Orin", "16 multiprocessors"):
        assert word in result.output
    assert "up to date" not in result.output
    again = denet("build", root)
    assert again.output.count("up to date") == 15
    assert "0 of them built now" in again.output


def test_build_tells_a_program(root: Path, builder: Builder) -> None:
    result = denet("build", root, "--batch", "1:4:16", "--json")
    facts = json.loads(result.stdout)
    assert (facts["precision"], facts["target"]["gpu"]) == ("fp32", "Orin")
    assert list(facts["engines"]) == list(ENGINES)
    edge = facts["engines"][EDGE]
    assert edge["layers"] == {"all": 9, "int8": 3, "fp16": 2, "fp32": 1}
    assert edge["profile"]["sum"][2] == [2, 16, 512]
    assert (edge["form"], edge["built"]) == ("fp32", True)
    assert Path(edge["path"]).stat().st_size == edge["bytes"]


def test_build_says_that_engines_without_a_gpu_run_nowhere(
    root: Path, builder: Builder, machine: Callable[..., None]
) -> None:
    machine(NO_GPU)
    assert "no machine can run these engines" in denet("build", root).output


def test_build_says_that_the_default_is_for_others(
    outcome: Outcome, tmp_path: Path, builder: Builder
) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    change_manifest(root, lambda manifest: manifest["mixed"].pop("trt"))
    assert "has its default, mixed, for other hardware only" in denet("build", root).output


def test_every_option_reaches_the_request(
    root: Path, builder: Builder, machine: Callable[..., None]
) -> None:
    machine(DESKTOP)
    options = ("--opt-level", 5, "--workspace", 64, "--tf32")
    result = denet("build", root, *options, "--version-compatible", "--hardware-compatible")
    assert result.exit_code == 0, result.output
    assert builder.requests[0].spec.options == BuildOptions(
        opt_level=5, workspace=64, tf32=True, version_compatible=True, hardware_compatible=True
    )


def test_build_adds_fp16_where_the_bundle_lacks_it(root: Path, builder: Builder) -> None:
    result = denet("build", root, "--precision", "fp16")
    assert result.exit_code == 0, result.output
    assert "FP16 without data" in result.output
    manifest = Bundle.open(root).manifest
    assert (manifest.variants, manifest.default_precision) == (("fp32", "fp16"), "fp32")
    assert {request.spec.form for request in builder.requests} == {"fp16"}
    assert "FP16 without data" not in denet("build", root, "--precision", "fp16").output


def test_without_tensorrt_the_bundle_stays_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    refused(denet("build", root, "--precision", "fp16"), "TensorRT")
    assert Bundle.open(root).manifest.variants == ("fp32",)


def test_build_refuses_a_stale_engine_on_request(root: Path, builder: Builder) -> None:
    assert denet("build", root).exit_code == 0
    refused(denet("build", root, "--opt-level", 4, "--no-rebuild"), "stale", "opt-level 3, not")
    assert len(builder.names()) == 15
    assert denet("build", root, "--opt-level", 4).exit_code == 0
    assert len(builder.names()) == 15


def test_bad_input_to_build_is_one_clear_line(
    root: Path, tmp_path: Path, machine: Callable[..., None]
) -> None:
    refused(denet("build", tmp_path / "none.denet"), "none.denet", "there is no such bundle")
    refused(denet("build", root, "--batch", "4"), "--batch 4: give MIN:OPT:MAX, such as 1:4:16")
    refused(denet("build", root, "--precision", "int8"), "has no int8 for TensorRT", "calibrate")
    refused(denet("build", root, "--precision", "int3"), "unknown precision 'int3'")
    refused(denet("build", root, "--hardware-compatible"), "not for a Jetson's")
    assert not (root / "trt").exists()


def test_without_tensorrt_both_commands_say_what_to_install(
    root: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    words = ("TensorRT is not installed", "JetPack", "pip install tensorrt")
    refused(denet("build", root), *words)
    to = tmp_path / "new.denet"
    refused(denet("export", checkpoint, "--out", to, "--trt"), *words)
    refused(denet("export", "no.safetensors", "--out", to, "--trt"), *words)  # nothing was begun
    assert not to.exists()
    assert not (root / "trt").exists()


def test_options_of_the_builder_need_trt(checkpoint: Path, tmp_path: Path) -> None:
    result = denet("export", checkpoint, "--out", tmp_path / "x.denet", "--batch", "1:4:16")
    refused(result, "the options of TensorRT's builder need --trt")


def test_export_with_trt_calibrates_for_tensorrt(machine: Callable[..., None]) -> None:
    assert tensorrt.calibration_platforms(None, "auto").endswith(",trt")
    assert tensorrt.calibration_platforms("vnni,trt", "int8") == "vnni,trt"
    assert tensorrt.calibration_platforms("vnni", "fp16") == "vnni"
    with pytest.raises(BuildError, match="--target vnni: add trt"):
        tensorrt.calibration_platforms("vnni", "int8")


BARE = """
import sys
for absent in ("torch", "torchvision", "onnx", "onnxscript", "safetensors", "lightning_fabric"):
    sys.modules[absent] = None  # importing it now raises ImportError
import export.tensorrt.build, export.tensorrt.report, export.tensorrt.process
assert not hasattr(export, "nothing")
import cli
cli.app(["build", sys.argv[1], "--json"])
"""


def test_building_needs_neither_torch_nor_onnx(root: Path, played: Callable[[str], None]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(FAKE)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [engine["built"] for engine in facts["engines"].values()] == [True] * 15
    assert facts["target"]["tensorrt"] == "10.3.0"


def test_the_package_gives_its_names_when_they_are_asked_for() -> None:
    import export
    import export.bundle

    assert export.export_bundle is export.bundle.export_bundle
    assert export.ExportError is export.bundle.ExportError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = export.nothing
