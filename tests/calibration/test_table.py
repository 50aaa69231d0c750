"""Where the ranges come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from calibration import Outcome, calibrate
from calibration.table import read_table
from runtime.bundle.forms import Form
from tests.calibration.parts import ENGINES, run_refused
from tests.conftest import copied


@pytest.mark.usefixtures("coarse")
def test_ranges_are_kept_for_the_same_samples_alone(
    outcome: Outcome, data: Path, tmp_path: Path
) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    built = root / "trt" / "some-gpu" / "fp32" / "branch_rgb.engine"
    built.parent.mkdir(parents=True)
    built.write_bytes(b"an engine")
    request = replace(outcome.request, platforms=("avx2",), precision="int8")
    again = calibrate(root, request)
    assert any("same samples: kept" in note for note in again.notes)
    assert again.bundle.manifest.variants == ("fp32", "int8-avx2")
    assert built.read_bytes() == b"an engine", "what was built of FP32 is still good"
    other = calibrate(root, replace(request, samples=18))
    assert not any("kept" in note for note in other.notes)


def test_a_table_made_elsewhere(outcome: Outcome, bundle_path: Path, tmp_path: Path) -> None:
    table = outcome.bundle.root / "calibration.json"
    root = copied(bundle_path, tmp_path)
    made = calibrate(root, replace(outcome.request, table=table, platforms=("avx2",)))
    for engine in ENGINES:
        name: Form = "int8-avx2"
        assert made.bundle.read_engine(engine, name) == outcome.bundle.read_engine(engine, name)


def test_a_table_of_another_model(untouched: Path, outcome: Outcome, data: Path) -> None:
    table = read_table(outcome.bundle)
    assert table is not None
    path = untouched.parent / "other.json"
    path.write_bytes(msgspec.structs.replace(table, weights="0" * 64).encode())
    run_refused(untouched, data, "other.json", "other weights", table=path)
    path.write_bytes(msgspec.structs.replace(table, preprocessing="0" * 64).encode())
    run_refused(untouched, data, "other.json", "another preprocessing", table=path)
    path.write_bytes(table.encode().replace(b'"samples": ', b'"samples": 1', 1))
    run_refused(untouched, data, "other.json", "damaged or edited", table=path)
    path.write_text("{}")
    run_refused(untouched, data, "other.json", "not a calibration table", table=path)
    path.unlink()
    run_refused(untouched, data, "other.json", "cannot be read", table=path)
