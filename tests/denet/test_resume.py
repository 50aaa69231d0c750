"""Runs of whole processes that are killed or interrupted, and go on as if they had not been."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

import cli
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.interrupt import begin_worker
from denet.run import (
    BEST,
    LAST,
    LOG,
    RECIPE,
    STATE,
    Run,
)
from tests.denet.launching import quiet_environment, several, toml

FILES = {RECIPE, LAST, BEST, STATE, LOG}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(path, SyntheticConfig(identities=10, cameras=2, shots=2, height=32, width=16))
    return path


def same(a: Any, b: Any) -> bool:
    """Bit for bit, in dicts and lists."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


# Whole processes. They are forked from one that has imported everything, which takes seconds.


def denet_train(root: Path, out: Path, recipe: Path) -> None:
    torch.set_num_threads(1)  # how sums are split among threads shows in their last bits
    options = ["--out", str(out), "--preset", "small", "--config", str(recipe), "--resume"]
    cli.app(["train", str(root), *options])


@pytest.fixture(scope="module")
def begin(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], BaseProcess]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "denet.train"])
    recipe = tmp_path_factory.mktemp("recipe") / "r.toml"
    recipe.write_text(toml())

    def begun(out: Path) -> BaseProcess:
        process = context.Process(target=denet_train, args=(root, out, recipe))
        process.start()
        return process

    return begun


@pytest.fixture(scope="module")
def whole(
    begin: Callable[[Path], BaseProcess], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """An uninterrupted run, and its seconds."""
    folder = tmp_path_factory.mktemp("whole")
    first = begin(folder / "warm")  # waits for the imports
    first.join()
    start = time.monotonic()
    process = begin(folder / "run")
    process.join()
    assert first.exitcode == process.exitcode == 0
    return folder / "run", time.monotonic() - start


@pytest.mark.parametrize("kills", [3, pytest.param(16, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    kills: int, begin: Callable[[Path], BaseProcess], whole: tuple[Path, float], tmp_path: Path
) -> None:
    reference, seconds = whole
    draw = random.Random(0)
    out = tmp_path / "run"
    for moment in draw.sample(range(kills), kills):
        process = begin(out)
        process.join((moment + draw.random()) / kills * seconds)
        process.kill()
        process.join()
    process = begin(out)
    process.join()
    assert process.exitcode == 0
    assert {p.name for p in out.iterdir()} == FILES | {"curves.png"}
    for name in (LAST, BEST):
        assert same(load_file(reference / name), load_file(out / name))
    a, b = (torch.load(p / STATE, weights_only=True)["rest"] for p in (reference, out))
    assert same(a, b)
    assert (out / LOG).read_text().count("\n") == 3


def load_for_ever(told: Connection) -> None:
    """A run whose data loader's process tells who it is."""
    # As of Python 3.14 this is how processes begin on Linux; a fork ends with its parent anyway.
    how = {"multiprocessing_context": "forkserver", "worker_init_fn": begin_worker}
    for batch in DataLoader(ProcessIds(), num_workers=1, **how):
        told.send(int(batch))


class ProcessIds(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield os.getpid()
            time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="sees processes in /proc")
def test_a_run_that_is_killed_leaves_no_process_behind() -> None:
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=load_for_ever, args=(there,))
    process.start()
    worker = Path("/proc", str(here.recv()))
    assert worker.is_dir()
    process.kill()
    process.join()
    for _ in range(100):
        if not worker.is_dir() or "State:\tZ" in (worker / "status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


# From the command line


def denet(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cli", *(str(a) for a in arguments)]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_ends_a_run_with_one_line_that_says_how_to_go_on(
    number: signal.Signals, code: int, root: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(toml(epochs=300))
    out = tmp_path / "run"
    with subprocess.Popen(
        denet("train", root, "--out", out, "--preset", "small", "--config", recipe),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=quiet_environment(),
        start_new_session=True,
    ) as process:
        while not (out / STATE).exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        os.killpg(process.pid, number)  # as a terminal does: those that load data get it, too
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    lines = [line for line in stderr.splitlines() if line and not line.startswith("epoch ")]
    assert len(lines) == 1, stderr
    assert re.fullmatch(
        rf"interrupted in epoch \d+; continue with: denet train {root} --out {out} --resume",
        lines[0],
    )
    assert not stdout
    run = Run(out)
    origin = run.origin()
    assert origin is not None
    run.begin(origin)
    assert run.restore() is not None


# Two processes


@pytest.fixture(scope="module")
def together(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run of two processes, and what they print."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "r.toml").write_text(toml())
    process = several(root, folder / "run", folder / "r.toml")
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return folder / "run", stdout, stderr


@pytest.mark.slow
def test_two_processes_train_one_network_and_one_of_them_speaks(
    together: tuple[Path, str, str],
) -> None:
    out, stdout, stderr = together
    assert stdout == f"{out / BEST}: the best checkpoint\n"
    told = [line.split(":")[0] for line in stderr.splitlines() if line]
    assert told == ["epoch 1", "epoch 2", f"{out}/curves.png"]
    assert {p.name for p in out.iterdir()} == FILES | {"curves.png"}
    origin = Run(out).origin()
    assert origin is not None
    assert origin.processes == 2
    with (out / LOG).open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [0 <= float(row["map"]) <= 100 for row in rows] == [False, True]  # the graph's alone
    # 12 samples in batches of 4, dealt to two: one batch each, and a third that is left over.
    assert int(load_file(out / LAST)["neck.num_batches_tracked"]) == 1


@pytest.mark.slow
def test_two_processes_that_are_killed_resume(
    together: tuple[Path, str, str], root: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text(toml())
    out = tmp_path / "run"
    process = several(root, out, tmp_path / "r.toml")
    while not (out / STATE).exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    children = subprocess.run(
        ["pgrep", "-f", str(out)], capture_output=True, text=True, check=False
    ).stdout.split()
    for child in children:  # torchrun gives each process a session of its own
        os.kill(int(child), signal.SIGKILL)
    process.communicate()
    assert (out / LOG).read_text().count("\n") == 2
    process = several(root, out, tmp_path / "r.toml")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert same(load_file(out / LAST), load_file(together[0] / LAST))
