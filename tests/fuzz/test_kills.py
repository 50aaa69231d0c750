"""Commands that are killed leave what was there, whole, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT

COMMANDS = ("export", "slim", "enrol", "node")
"""Those that take seconds; `make fuzz` kills all, and many times."""


@pytest.mark.slow
def test_one_kill_of_a_few_commands() -> None:
    # In a process of its own: the children that are killed are forks, and forks want few threads.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz", "--only", ",".join(COMMANDS)),
            *("--kills", str(len(COMMANDS)), "--jobs", "1"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
