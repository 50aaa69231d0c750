"""All readers and all commands, at length, and a table of each."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

LINE = 500
"""Characters that are shown of a line."""


def read_arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="files for each reader")
    parser.add_argument("--kills", type=int, default=200, help="kills, of all commands together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers and commands, as manifest,slim")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def one_reader(name: str, base: str, cases: int, seed: int) -> str:
    """A row of the table, or what went wrong."""
    from tests.fuzz.readers import READERS
    from tests.fuzz.running import fuzz

    folder = Path(tempfile.mkdtemp(dir=base))
    tally = fuzz(READERS[name](Path(base), folder), cases, seed)
    return (
        f"| {name} | {tally.cases} | {tally.refused} | {tally.answered} | {tally.slowest:.2f} s | "
        f"{tally.seconds:.0f} s |"
    )


def one_victim(name: str, base: str, times: int, seed: int) -> tuple[str, list[str]]:
    """A row of the table, and what went wrong."""
    from tests.fuzz.kills import kill
    from tests.fuzz.victims import victims

    victim = next(each for each in victims(Path(base)) if each.name == name)
    folder = Path(tempfile.mkdtemp(dir=base))
    killed = kill(victim, folder, times, seed)
    return f"| {name} | {killed.kills} | {len(killed.faults)} |", killed.faults


def main() -> int:
    """Run, print, and tell by the exit code."""
    asked = read_arguments()
    from tests.fuzz.readers import READERS
    from tests.fuzz.stock import make_stock
    from tests.fuzz.victims import VICTIMS, can_be_killed

    only = asked.only.split(",") if asked.only else [*READERS, *VICTIMS]
    readers = [name for name in READERS if name in only]
    commands = [name for name in VICTIMS if name in only and can_be_killed(name)]
    if left_out := [name for name in VICTIMS if name in only and name not in commands]:
        print(f"not killed, since they cannot run here: {', '.join(left_out)}", file=sys.stderr)
    base = tempfile.mkdtemp(prefix="denet-fuzz-")
    try:
        make_stock(Path(base), *(["new"] if commands else []))
        return run(readers, commands, asked, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def run(
    readers: Sequence[str], commands: Sequence[str], asked: argparse.Namespace, base: str
) -> int:
    """Both tables. Each reader and each command has a process of its own."""
    bad = 0
    with ProcessPoolExecutor(asked.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        rows = {n: pool.submit(one_reader, n, base, asked.cases, asked.seed) for n in readers}
        times = max(1, asked.kills // max(len(commands), 1))
        lost = {n: pool.submit(one_victim, n, base, times, asked.seed) for n in commands}
        if readers:
            print("| reader | cases | refused | read as the whole file | slowest | all |")
            print("|---|---|---|---|---|---|", flush=True)
        for name, row in rows.items():
            try:
                print(row.result(), flush=True)
            except Exception as error:
                bad += 1
                print(f"| {name} | FAILED |", flush=True)
                print(shortened(error), file=sys.stderr, flush=True)
        if commands:
            print("\n| command | kills | artefacts gone or corrupt, strays |")
            print("|---|---|---|", flush=True)
        for name, told in lost.items():
            try:
                row_, faults = told.result()
                print(row_, flush=True)
                for fault in faults:
                    print(f"  {name}: {fault}", file=sys.stderr)
                bad += len(faults)
            except Exception as error:
                bad += 1
                print(f"| {name} | FAILED |", flush=True)
                print(shortened(error), file=sys.stderr, flush=True)
    return 1 if bad else 0


def shortened(error: BaseException) -> str:
    """A traceback without the whole of the file that it happened with."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(line if len(line) <= LINE else f"{line[:LINE]}..." for line in lines)
