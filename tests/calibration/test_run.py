"""Calibrations from beginning to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import calibration.run
from calibration import CalibrationError, CalibrationRequest, Outcome, calibrate
from calibration.judge import Effect
from denet.data.records import open_data
from denet.graph import RGB_NIR_TIR, component
from runtime import BackendError, Bundle, Runtime
from runtime.bundle.forms import cpu_platforms
from tests.calibration.parts import ENGINES, STATES, contents, cosine, run_refused
from tests.conftest import copied


def test_a_calibrated_bundle_runs_in_each_precision(outcome: Outcome, data: Path) -> None:
    bundle = outcome.bundle
    assert bundle.manifest.default_precision == "mixed"
    assert bundle.manifest.variants == (
        "fp32",
        "fp16",
        "int8-avx2",
        "int8-trt",
        "mixed-avx2",
        "mixed-trt",
    )
    samples = [record.open() for record in open_data(data).train[:4]]
    with Runtime.load(bundle, "ort-cpu", "fp32") as exact:
        expected = exact.embed_batch(samples)
    for precision in ("fp16", "int8", "mixed", "auto"):
        with Runtime.load(bundle, "ort-cpu", precision, check=True) as runtime:
            found = runtime.embed_batch(samples)
            assert runtime.precision == ("mixed" if precision == "auto" else precision)
        assert min(cosine(a, b) for a, b in zip(found, expected, strict=True)) > 0.98


def test_the_evidence_is_in_the_manifest(outcome: Outcome) -> None:
    manifest = outcome.bundle.manifest
    assert manifest.calibration is not None
    assert manifest.calibration.samples == 20
    for target in ("avx2", "trt"):
        mixed = manifest.mixed[target]  # type: ignore[index]
        assert set(mixed.engines) == set(ENGINES)
        assert set(mixed.states) == {s.name for s in STATES}
        for state, evidence in mixed.states.items():
            mine = outcome.whole[f"mixed-{target}"][RGB_NIR_TIR.parse(state)]
            assert evidence.map == mine.map
            assert evidence.change is not None
            assert evidence.change[1] <= evidence.change[0] <= evidence.change[2]


@pytest.mark.usefixtures("coarse")
def test_calibration_is_repeatable_bit_for_bit(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    request = CalibrationRequest(
        data=data, platforms=("avx2",), precision="int8", budget=100.0, samples=16
    )
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        root = copied(bundle_path, tmp_path / name)
        calibrate(root, request)
        made.append(contents(root))
    assert made[0] == made[1]


@pytest.mark.usefixtures("coarse")
def test_a_modality_that_is_absent_altogether(
    rgb_and_tir: Path, bundle_path: Path, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    made = calibrate(
        root, CalibrationRequest(data=rgb_and_tir, platforms=("avx2",), budget=100.0, samples=16)
    )
    unseen = [e for e in ENGINES if component(e).source == "nir"]
    assert unseen == ["branch_nir", "cmft_nir2rgb", "cmft_nir2tir", "dem_nir2rgb", "dem_nir2tir"]
    forms = made.bundle.manifest.mixed["avx2"].engines
    assert all(forms[e] == "fp32" for e in unseen)
    assert any("stays FP32: branch_nir" in note for note in made.notes)
    assert set(made.whole["mixed-avx2"]) == {s for s in STATES if "nir" not in s.available}
    with Runtime.load(made.bundle, "ort-cpu", "mixed", check=True) as runtime:
        image = np.zeros((64, 32, 3), np.uint8)
        assert np.isfinite(runtime.embed({"nir": image})).all()
    before = contents(root)
    with pytest.raises(CalibrationError, match="int8-avx2 cannot be had for branch_nir"):
        calibrate(
            root,
            CalibrationRequest(
                data=rgb_and_tir, platforms=("avx2",), precision="int8", budget=100.0, samples=16
            ),
        )
    assert contents(root) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int4"}, ("int4", "auto, int8, fp16")),
        ({"target": "npu"}, ("npu", "vnni, avx2, trt")),
        ({"method": "guess"}, ("guess", "minmax")),
        ({"budget": "-1"}, ("-1", "between 0 and 100")),
    ],
)
def test_wrong_options(
    options: dict[str, str], words: tuple[str, ...], untouched: Path, data: Path
) -> None:
    run_refused(untouched, data, *words, **options)


def test_a_budget_that_cannot_be_kept(
    untouched: Path, data: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = Effect.loss
    monkeypatch.setattr(Effect, "loss", lambda self: worse(self) + 5 * (self.cosine < 1))
    run_refused(
        untouched,
        data,
        "int8-avx2 cannot be had",
        "0.5 mAP points",
        precision="int8",
        target="avx2",
        table=table,
    )


def test_a_full_disk(
    untouched: Path, data: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    run_refused(untouched, data, "No space left", target="avx2", budget="100", table=table)


def test_int8_on_the_wrong_cpu(
    outcome: Outcome, untouched: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration.run, "cpu_platforms", lambda: ("avx2",))
    run_refused(untouched, data, "no VNNI", target="vnni")
    only = Bundle.open(outcome.bundle.root)
    # A machine that has but a form for TensorRT falls back, and says so; by name it refuses.
    module = sys.modules["runtime.backends.choose"]
    monkeypatch.setattr(module, "cpu_platforms", lambda: ("vnni",))
    with Runtime.load(only, "ort-cpu") as runtime:
        assert (runtime.precision, runtime.variant) == ("fp32", "fp32")
        assert "no mixed" in runtime.reason
    with pytest.raises(BackendError, match=r"int8.*fp16, fp32 can run here"):
        Runtime.load(only, "ort-cpu", "int8")


@pytest.mark.skipif("vnni" not in cpu_platforms(), reason="this CPU has no VNNI")
def test_int8_with_vnni(bundle_path: Path, data: Path, table: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    made = calibrate(root, CalibrationRequest(data=data, table=table, budget=100.0))
    assert "mixed-vnni" in made.bundle.manifest.variants
    with Runtime.load(made.bundle, "ort-cpu", check=True) as runtime:
        assert runtime.variant == "mixed-vnni"


def test_calibrating_takes_no_torch() -> None:
    # Any import of them fails. ONNX Runtime before 1.24 looks whether torch is there, and takes it.
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('torch', 'torchvision'))\n"
        "import calibration.run, calibration.page, calibration.tables\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
