"""Commands that are killed at random moments: what was there stays whole, and nothing is left.

A command runs in a forked child that has everything imported, and dies by SIGKILL before a chosen
one of the calls by which it touches files, or some milliseconds after it. Then the same command is
started again, as a person would.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cli
from tests.steps import Steps, die

WATCHED = {
    *("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink"),
    *("os.truncate", "os.chmod", "os.listdir", "os.scandir", "shutil.rmtree", "shutil.copyfile"),
    *("sqlite3.connect", "ctypes.call_function", "fcntl.flock"),
}
"""Events of Python's audit by which a command touches files."""

PATIENCE = 300.0
"""Seconds after which a command that was not killed counts as hung."""


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        name: of it.
        prepare: makes what is there before, in the folder that it is given.
        command: its arguments, in that folder.
        again: those of the next start.
        check: sees that everything that should be there is, whole; raises if not.
        codes: with which the next start may end: 2 where it refuses what was done already.
    """

    name: str
    prepare: Callable[[Path], None]
    command: tuple[str, ...]
    again: tuple[str, ...]
    check: Callable[[Path], None]
    codes: tuple[int, ...] = (0,)


@dataclass
class Killed:
    """What became of one command.

    Attributes:
        name: of it.
        kills: how many hit it before its end.
        events: at which a kill can hit it.
        faults: what was wrong afterwards.
    """

    name: str
    kills: int
    events: int
    faults: list[str]


def in_child(work: Callable[[], None], *, quiet: bool = True) -> int:
    """Do something in a child, in a session of its own; what it printed if it failed is shown.

    Returns:
        Its exit code, or minus the signal that ended it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            if quiet:
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in range(3):
                    os.dup2(null, descriptor)
            work()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return _waited(child)


def _waited(child: int) -> int:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end_group(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    _end_group(child)
    os.waitpid(child, 0)
    raise TimeoutError(f"a command does not end within {PATIENCE} s")


def _end_group(child: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def denet(folder: Path, arguments: tuple[str, ...]) -> Callable[[], None]:
    """What runs a command in `folder`."""

    def work() -> None:
        os.chdir(folder)
        cli.app(list(arguments))

    return work


def dying(work: Callable[[], None], event: int, later: float) -> Callable[[], None]:
    """`work` that is killed before its event of that number, or so many seconds after it."""

    def act() -> None:
        if later:
            threading.Timer(later, die).start()
        else:
            die()

    def run() -> None:
        Steps(WATCHED, event, act)
        work()

    return run


def counted(work: Callable[[], None], found: Path) -> Callable[[], None]:
    """`work`, after which `found` holds how many events it had."""

    def run() -> None:
        steps = Steps(WATCHED)
        try:
            work()
        finally:
            found.write_text(str(steps.seen))

    return run


def entries(folder: Path) -> set[str]:
    """All that is in a folder, hidden things too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def folder_for(base: Path, victim: Victim) -> Iterator[Path]:
    folder = base / f"kill-{victim.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        victim.prepare(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kill(victim: Victim, base: Path, times: int, number: int = 0) -> Killed:
    """Kill a command so many times, at moments that are the same for the same number.

    Raises:
        AssertionError: it fails without being killed.
    """
    count = base / "events"
    with folder_for(base, victim) as folder:
        code = in_child(counted(denet(folder, victim.command), count), quiet=False)
        if code:
            raise AssertionError(f"{victim.name}: ends with {code} without being killed")
        if in_child(lambda: victim.check(folder), quiet=False):
            raise AssertionError(f"{victim.name}: is not whole without being killed")
        if in_child(denet(folder, victim.again), quiet=False) not in victim.codes:
            raise AssertionError(f"{victim.name}: cannot be started again")
        usual = entries(folder)
    result = Killed(victim.name, 0, int(count.read_text()), [])
    chosen = random.Random(number)
    while result.kills < times:
        # Most of the events are at the start, where modules and inputs are read.
        event = 1 + int(result.events * chosen.random() ** 0.5)
        later = chosen.choice([0.0, 0.0, chosen.uniform(0, 0.02), chosen.uniform(0, 0.5)])
        with folder_for(base, victim) as folder:
            code = in_child(dying(denet(folder, victim.command), event, later))
            if code != -signal.SIGKILL:
                result.events = max(1, result.events - 1)  # it has fewer than the first time
                continue
            result.kills += 1
            moment = f"before call {event} of {result.events}" + (
                f" + {later:.3f} s" if later else ""
            )
            if in_child(lambda: victim.check(folder), quiet=False):
                result.faults.append(f"{moment}: gone or corrupt")
            if (code := in_child(denet(folder, victim.again), quiet=False)) not in victim.codes:
                result.faults.append(f"{moment}: the next start ends with {code}")
            elif in_child(lambda: victim.check(folder), quiet=False):
                result.faults.append(f"{moment}: gone or corrupt after the next start")
            if strays := entries(folder) - usual:
                result.faults.append(f"{moment}: left {', '.join(sorted(strays)[:3])}")
    return result
