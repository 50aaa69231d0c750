"""The ranges of pyproject.toml, tried at their ends by scripts/check_ranges.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT

SCRIPT = ROOT / "scripts" / "check_ranges.py"


@pytest.mark.slow
def test_the_oldest_and_the_newest_releases_work() -> None:
    command = [sys.executable, str(SCRIPT), "--skip-absent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "not tried" in done.stdout:
        pytest.skip(done.stdout)


def test_a_python_that_is_not_there_is_said_and_fails() -> None:
    case = "train-oldest"
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import check_ranges\n"
        "check_ranges.find_python = lambda version: None\n"
        "sys.exit(check_ranges.main())"
    )
    for more, expected in ([], 1), (["--skip-absent"], 0):
        command = [sys.executable, "-c", code, case, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr
        assert f"{case}: not tried: there is no Python 3.10 here" in done.stdout
