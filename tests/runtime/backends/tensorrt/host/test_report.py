"""The report of `make gpu`, on the driver that runs on the host."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from calibration import Outcome
from tests.conftest import copied
from tests.fake.libcuda.driver import HostDriver
from tests.paths import ROOT

pytestmark = pytest.mark.cuda


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.syspath_prepend(ROOT / "measurements")
    return tmp_path / "gpu-report.md"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, arguments)])
    returned: int = importlib.import_module("gpu").main()
    return returned


def test_every_precision_and_the_soak(
    clean: HostDriver,
    outcome: Outcome,
    tmp_path: Path,
    report: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    options = ("--backends", "tensorrt", "--rounds", 2, "--soak", 2, "--out", report)
    assert run(monkeypatch, root, *options) == 0
    text = report.read_text()
    assert "All checks passed." in text
    for precision in ("fp32", "fp16", "int8"):
        assert f"## tensorrt, {precision}" in text
    assert "against the same int8-trt files" in text
    assert "Soak of 2 s" in text


def test_what_fails_is_in_it_and_the_rest_goes_on(
    clean: HostDriver,
    outcome: Outcome,
    tmp_path: Path,
    report: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    monkeypatch.syspath_prepend(ROOT / "measurements")
    monkeypatch.setitem(importlib.import_module("gpu").LEAST_COSINE, "fp16", 2.0)
    options = ("--precisions", "fp64,fp16", "--backends", "tensorrt", "--rounds", 2, "--soak", 1)
    assert run(monkeypatch, root, *options, "--out", report) == 1
    text = report.read_text()
    assert "FAILED: tensorrt, fp64 did not run" in text
    assert "rgb+nir+tir has a cosine of" in text
    assert "Soak of 1 s" in text
