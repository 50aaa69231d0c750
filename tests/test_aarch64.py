"""A node on aarch64, emulated, by scripts/check_aarch64.py: it installs, and computes the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from calibration import CalibrationRequest, calibrate
from runtime import Bundle
from runtime.bundle.forms import cpu_platforms
from tests.conftest import copied
from tests.paths import ROOT

SCRIPT = ROOT / "scripts" / "check_aarch64.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module(SCRIPT.stem)


@pytest.mark.slow
def test_a_node_on_aarch64_computes_the_same(
    script: ModuleType, bundle_path: Path, data: Path, coarse: None, tmp_path: Path
) -> None:
    if reason := script.absent():
        pytest.skip(reason)
    bundle = copied(Bundle.open(bundle_path).root, tmp_path)
    # An ARM processor takes INT8 made for either kind of x86; which of them can be judged varies.
    here = cpu_platforms()[:1]
    calibrate(bundle, CalibrationRequest(data=data, platforms=here, budget=100.0, samples=20))
    command = [sys.executable, str(SCRIPT), str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fp32: least cosine" in done.stdout
    assert "int8: least cosine" in done.stdout


def test_an_emulator_that_onnx_runtime_dies_in_is_not_taken(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, taken in (("7.2.0", False), ("10.0.2", True)):
        program = tmp_path / version
        program.write_text(f'#!/bin/sh\necho "qemu-aarch64 version {version} (Debian)"\n')
        program.chmod(0o755)
        monkeypatch.setenv("QEMU_AARCH64", str(program))
        monkeypatch.setenv("PATH", str(tmp_path))
        assert script.find_qemu() == (program if taken else None)
        assert ("qemu" in script.absent()) is not taken


def test_without_what_it_needs_it_says_so_and_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not tried: needs qemu-aarch64" in done.stdout
