"""What a node does with the memory of its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.node import memory
from tests.paths import ROOT


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_is_given_back_is_the_systems() -> None:
    if memory._trim is None:
        pytest.skip("the C library cannot give memory back")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    held = [b"x" * 60_000 for _ in range(2_000)]  # too small to be mapped one by one
    del held[:-1]  # the last one keeps what lies below it
    before = resident()
    memory.give_back()
    assert before - resident() > 60_000_000


ARENAS = """
import ctypes, os, tempfile, threading
from runtime.node.memory import share_one_arena

share_one_arena()
c = ctypes.CDLL(None)
c.malloc.restype = c.fopen.restype = ctypes.c_void_p
together = threading.Barrier(4)  # a thread that has ended leaves its arena to the next

def take():
    c.malloc(60_000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(c.fopen(file.name.encode(), b"w"))
    c.malloc_info(0, stream)
    c.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""


@pytest.mark.skipif(memory._mallopt is None, reason="not the GNU C library")
@pytest.mark.parametrize(("chosen", "expected"), [("", 1), ("3", 3)])
def test_threads_share_one_arena_unless_others_are_wanted(chosen: str, expected: int) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    if chosen:
        environment["MALLOC_ARENA_MAX"] = chosen
    ran = subprocess.run(
        [sys.executable, "-c", ARENAS],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) == expected
