"""Kills a process before each step that it takes in the file system, one after the other.

Called as `python -m tests.denet.kills WHAT FOLDER`: a process of its own, small enough to fork. In
FOLDER/0, FOLDER/1 and so on, each made by `prepare`, a child does WHAT and is killed before its
step number 0, 1 and so on; the last child is not killed. Prints how many steps that took.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import denet.exchange
from denet.files import replaced_folder, written_whole
from tests.steps import Steps

STEPS = {
    "ctypes.dlopen",
    "fcntl.flock",
    "open",
    "os.chmod",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.listdir",
}
"""Events of the interpreter before which a process is killed."""


def prepare(folder: Path) -> None:
    """A folder and a file, whose parts all say "old"."""
    folder.mkdir()
    (folder / "bundle").mkdir()
    for name in ("a", "b"):
        (folder / "bundle" / name).write_text("old")
    (folder / "file").write_text("old")
    (folder / "link").symlink_to("bundle")


def replace_folder(folder: Path, name: str = "bundle") -> None:
    with replaced_folder(folder / name) as new:
        for each in ("a", "b"):
            (new / each).write_text("new")


def replace_link(folder: Path) -> None:
    replace_folder(folder, "link")


def replace_in_two_steps(folder: Path) -> None:
    denet.exchange.exchanged = lambda one, other: False
    replace_folder(folder)


def make_folder(folder: Path) -> None:
    replace_folder(folder, "another")


def replace_file(folder: Path) -> None:
    with written_whole(folder / "file") as new:
        new.write_text("new")


WORK: dict[str, Callable[[Path], None]] = {
    "replace_folder": replace_folder,
    "replace_link": replace_link,
    "replace_in_two_steps": replace_in_two_steps,
    "make_folder": make_folder,
    "replace_file": replace_file,
}


def child(work: Callable[[Path], None], folder: Path, step: int) -> None:
    """Do the work, and be killed before a step."""
    Steps(STEPS, step + 1)
    work(folder)
    os._exit(0)


def main(what: str, base: Path) -> int:
    step = 0
    while True:
        folder = base / str(step)
        prepare(folder)
        pid = os.fork()
        if not pid:
            child(WORK[what], folder, step)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            return step
        step += 1


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2])))
