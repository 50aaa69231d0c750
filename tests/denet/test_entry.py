"""The entry of the command line: its streams, and what it says of a defect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

FAULTY = """
import sys, typer
from denet.console import reported, say
from denet.entry import EntryGroup

app = typer.Typer(cls=EntryGroup, pretty_exceptions_enable=False)

@app.command()
@reported()
def talk(lines: int) -> None:
    for i in range(lines):
        say(f"line {i} \\u25b6 \\udcff")

@app.command()
@reported()
def fail() -> None:
    {}["x"]

@app.command()
@reported()
def write(path: str) -> None:
    with open(path, "w") as stream:
        stream.write("mine")
    print("not mine")

app()
"""


def run(*arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A program of such an entry; `shell` is what stands behind it in a line of bash."""
    return subprocess.run(
        [
            "bash",
            "-c",
            f'set -o pipefail; "$0" -c "$PROGRAM" "$@" {shell}',
            sys.executable,
            *arguments,
        ],
        env={**os.environ, "PROGRAM": FAULTY, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_defect_says_that_it_is_one() -> None:
    done = run("fail")
    assert done.returncode == 70
    assert b"KeyError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"error: this is a defect of denet")


def test_a_reader_that_has_enough_is_no_error() -> None:
    done = run("talk", "10000", shell="| head -n 1")
    assert done.stdout.startswith(b"line 0")
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("lines", ["1", "10000"])
def test_an_output_that_is_full_is_one_line(lines: str) -> None:
    done = run("talk", lines, shell="> /dev/full")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"error: ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_of_any_encoding_takes_any_name(encoding: str) -> None:
    done = run("talk", "1", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"line 0")


def test_an_output_that_is_closed_is_no_file_that_is_opened_later(tmp_path: Path) -> None:
    done = run("write", str(tmp_path / "file"), shell=">&-")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text() == "mine"
