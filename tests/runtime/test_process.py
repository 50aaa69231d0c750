"""A runtime as a guest in a process: forks, spawned processes, threads, asyncio, pickles."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime import Bundle, Runtime
from tests.paths import ROOT

PATIENCE = 120.0
"""Seconds after which a process counts as one that does not end."""

SAMPLE = {"rgb": np.full((16, 8, 3), 90, np.uint8)}

FORKED = """
import os, sys, numpy as np
from denet.errors import DenetError
from runtime import Runtime
sample = {"rgb": np.full((16, 8, 3), 90, np.uint8)}
parent = Runtime.load(sys.argv[1], "ort-cpu", threads=2)
before = parent.embed(sample)
child = os.fork()
if child == 0:
    try:
        parent.embed(sample)
    except DenetError as error:
        assert "of which this one is a fork" in str(error)
        if sys.argv[2] == "anew":
            with Runtime.load(sys.argv[1], "ort-cpu", threads=2) as mine:
                assert np.array_equal(mine.embed(sample), before)
        sys.exit(0)  # an ordinary end, which joins threads and frees what there is
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(parent.embed(sample), before)
"""

AFTER_OURS = """
import sys, numpy as np
from runtime import Runtime
from runtime.backends.onnxruntime.smallest import RELU
own = sys.argv[2] == "own"
runtime = Runtime.load(sys.argv[1], "ort-cpu", threads=1, own_pool=own)
runtime.embed({"rgb": np.full((16, 8, 3), 90, np.uint8)})
import onnxruntime
try:
    onnxruntime.InferenceSession(RELU)
except Exception:
    assert not own
else:
    assert own
"""


def run(program: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
        check=True,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("what", ["unused", "anew"])
def test_a_fork_ends_by_itself_and_may_load_anew(bundle: Bundle, what: str) -> None:
    run(FORKED, str(bundle.root), what)


def embed_there(bundle: Path) -> list[float]:
    with Runtime.load(bundle, "ort-cpu") as runtime:
        found: list[float] = runtime.embed(SAMPLE).tolist()
    return found


def test_a_spawned_process_loads_its_own(bundle: Bundle, runtime: Runtime) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        there = pool.submit(embed_there, bundle.root).result(PATIENCE)
    assert np.allclose(there, runtime.embed(SAMPLE), atol=1e-5)


def test_threads_and_coroutines_take_turns(runtime: Runtime) -> None:
    before = runtime.embed(SAMPLE)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(runtime.embed, [SAMPLE] * 12):
            assert np.array_equal(found, before)

    async def several() -> list[np.ndarray]:
        return await asyncio.gather(*(asyncio.to_thread(runtime.embed, SAMPLE) for _ in range(4)))

    assert all(np.array_equal(found, before) for found in asyncio.run(several()))


def test_a_runtime_is_bound_to_its_process(runtime: Runtime) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"cannot be pickled or copied: give the path"):
            attempt(runtime)  # type: ignore[operator]


@pytest.mark.parametrize("pool", ["own", "shared"])
def test_models_of_others_load_after_ours_where_ours_has_its_own_pool(
    bundle: Bundle, pool: str
) -> None:
    run(AFTER_OURS, str(bundle.root), pool)
