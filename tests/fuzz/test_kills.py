"""Commands that are killed leave what was there, whole, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.victims import VICTIMS, can_be_killed
from tests.paths import ROOT


@pytest.mark.slow
def test_one_kill_of_each_command() -> None:
    """`make fuzz` kills each many times."""
    commands = [name for name in VICTIMS if can_be_killed(name)]
    # In a process of its own: the children that are killed are forks, and forks want few threads.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz", "--only", ",".join(commands)),
            *("--kills", str(len(commands)), "--jobs", "1"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
