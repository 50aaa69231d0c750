"""What the package says of itself, and when it loads what."""

from __future__ import annotations

import subprocess
import sys

import pytest

import calibration
import calibration.run


def test_the_package_gives_its_names_when_they_are_asked_for() -> None:
    assert calibration.calibrate is calibration.run.calibrate
    for name in calibration.__all__:
        assert getattr(calibration, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = calibration.nothing


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, calibration\n"
        "found = {'numpy', 'onnx', 'onnxruntime', 'rich', 'matplotlib'} & set(sys.modules)\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
