"""Small files of the kernel, and tools that print a line or two."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path("/")

PATIENCE = 10.0
"""Seconds that a tool has to answer."""


def text(file: Path) -> str | None:
    """What a file says, without the blanks and zeros at its ends; None if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip("\0 \n\t") or None
    except OSError:  # sysfs has files that are there and cannot be read
        return None


def number(file: Path) -> int | None:
    """The whole number that a file says; None where it says none."""
    try:
        return int(text(file) or "")
    except ValueError:
        return None


def ask(root: Path, *command: str) -> str | None:
    """What a tool of the machine at `root` prints; None where it is not there, or fails."""
    places = [f"{root}/usr/bin", f"{root}/usr/sbin"]
    if root == ROOT:
        places = [os.environ.get("PATH", os.defpath), "/usr/sbin"]  # where nvpmodel is
    program = shutil.which(command[0], path=os.pathsep.join(places))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
