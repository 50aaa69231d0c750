"""Commands that are killed leave what was there, whole, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.victims import VICTIMS
from tests.paths import ROOT


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", VICTIMS)
def test_a_few_kills(name: str) -> None:
    # In a process of its own: the children that are killed are forks, and forks want few threads.
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--only", name, "--kills", "3", "--jobs", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
