"""The report of `make gpu`, on the driver that runs on the host."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration import Outcome
from tests.conftest import copied
from tests.fake.libcuda.driver import HostDriver
from tests.paths import ROOT

pytestmark = pytest.mark.cuda


Report = Callable[..., tuple[int, str]]


@pytest.fixture
def report(
    clean: HostDriver, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Report:
    """Runs the report with some arguments: its exit code, and what it wrote."""
    monkeypatch.syspath_prepend(ROOT / "measurements")
    root, out = copied(outcome.bundle.root, tmp_path), tmp_path / "gpu-report.md"

    def run(*arguments: object) -> tuple[int, str]:
        fixed = (root, "--backends", "tensorrt", "--rounds", 2, "--out", out)
        monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, (*fixed, *arguments))])
        return importlib.import_module("gpu").main(), out.read_text()

    return run


def test_every_precision_and_the_soak(report: Report) -> None:
    code, text = report("--soak", 2)
    assert code == 0
    assert "All checks passed." in text
    for precision in ("fp32", "fp16", "int8"):
        assert f"## tensorrt, {precision}" in text
    assert "against the same int8-trt files" in text
    assert "Soak of 2 s" in text


def test_what_fails_is_in_it_and_the_rest_goes_on(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importlib.import_module("gpu").LEAST_COSINE, "fp16", 2.0)
    code, text = report("--precisions", "fp64,fp16", "--soak", 1)
    assert code == 1
    assert "FAILED: tensorrt, fp64 did not run" in text
    assert "rgb+nir+tir has a cosine of" in text
    assert "Soak of 1 s" in text
