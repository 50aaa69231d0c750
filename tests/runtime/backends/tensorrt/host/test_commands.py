"""Commands, each a process of its own that finds the driver as any program does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fake.libcuda.driver import HostDriver
from tests.paths import FAKE, ROOT, SAMPLES
from tests.runtime.backends.tensorrt.host.embeddings import NEAR

pytestmark = pytest.mark.cuda

RUN = "import sys; sys.argv[0] = 'denet'; from cli import app; app()"


class Machine:
    """Where commands run: with the driver, and with a TensorRT unless it is left out."""

    def __init__(self, driver: HostDriver, folder: Path) -> None:
        self.folder = folder
        self.report = folder / "driver.txt"
        paths = [str(ROOT), str(FAKE), *sys.path]
        self.environment = os.environ | {
            "LD_LIBRARY_PATH": str(driver.path.parent),
            "PYTHONPATH": os.pathsep.join(paths),
            "HOST_CUDA_REPORT": str(self.report),
            "HOST_CUDA_SEED": "3",
            "HOST_CUDA_DELAY": "100",
            "COLUMNS": "200",
        }

    def denet(self, *arguments: object, code: int = 0, **environment: str) -> str:
        self.report.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, arguments)],
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "PyCUDA" not in done.stderr
        return done.stdout + done.stderr

    def driver_says(self) -> dict[str, int]:
        """Counts of calls, of live objects and of violations when the last command ended."""
        lines = [line.rsplit(" ", 1) for line in self.report.read_text().splitlines()]
        return {name: int(number) for name, number in lines}


@pytest.fixture
def machine(driver: HostDriver, tmp_path: Path) -> Machine:
    return Machine(driver, tmp_path)


def checked(said: dict[str, int]) -> None:
    assert {n: v for n, v in said.items() if v and n.startswith(("live", "violation"))} == {}


def test_build_verify_embed_bench_and_profile(machine: Machine, bundle_path: Path) -> None:
    root = shutil.copytree(bundle_path, machine.folder / "model.denet")
    text = machine.denet("build", root, "--precision", "fp32")
    assert "15 of them built now" in text
    assert "compared with its ONNX file" in text
    checked(machine.driver_says())

    assert "1.0000" in machine.denet("verify", root, "--backend", "tensorrt")
    said = machine.driver_says()
    checked(said)
    assert said["calls cuStreamWaitEvent"] > 10

    for backend in ("tensorrt", "ort-cpu"):
        out = f"{backend}.npz"
        machine.denet("embed", root, SAMPLES, "--every-state", "--out", out, "--backend", backend)
    found, expected = (
        np.load(machine.folder / f"{backend}.npz") for backend in ("tensorrt", "ort-cpu")
    )
    assert found.files == expected.files
    difference = np.abs(found["embeddings"] - expected["embeddings"])
    assert difference.max() <= NEAR

    bench = ("bench", "run", root, "--backend", "tensorrt", "--rounds", 3, "--only", "states")
    assert "tensorrt fp32" in machine.denet(*bench)
    said = machine.driver_says()
    checked(said)
    assert said["calls cuGraphLaunch"] > 7

    machine.denet("profile", root, "--backend", "tensorrt", "--rounds", 2)
    said = machine.driver_says()
    checked(said)
    assert said["calls cuEventElapsedTime_v2"] > 10


def test_a_node_runs_on_it(machine: Machine) -> None:
    machine.denet("node", "demo", "here", "--for", 0.5, LD_LIBRARY_PATH="")
    shutil.copytree(ROOT / "runtime/node/demo/demo.denet", machine.folder / "demo.denet")
    machine.denet("build", "demo.denet", "--precision", "fp32")
    config = machine.folder / "here" / "node.toml"
    lines = config.read_text().splitlines()
    config.write_text(
        "\n".join(
            'bundle = "demo.denet"\nbackend = "tensorrt"' if line.startswith("bundle") else line
            for line in lines
        )
    )
    text = machine.denet("node", "run", "here/node.toml", "--for", 4)
    assert "on tensorrt in fp32" in text
    assert machine.driver_says()["calls cuStreamSynchronize"] > 0
    checked(machine.driver_says())


def test_a_device_that_is_lost_ends_a_command_with_a_line(machine: Machine, built: Path) -> None:
    embed = ("embed", built, SAMPLES, "--out", "x.npz", "--backend", "tensorrt")
    text = machine.denet(*embed, code=2, HOST_CUDA_FAIL="cuMemAlloc_v2:2:2:lasting")
    assert "error: CUDA: out of device memory: cuMemAlloc failed: out of memory" in text
    checked(machine.driver_says())
    text = machine.denet(*embed, code=2, HOST_CUDA_FAIL="work:3:700")
    assert "the GPU was set up again" in text
    assert not (machine.folder / "x.npz").exists()
    checked(machine.driver_says())


def test_doctor_says_what_is_missing(machine: Machine, built: Path) -> None:
    text = machine.denet("doctor", built)
    assert "host driver, compute capability 8.9, 4 multiprocessors" in text
    assert "15 of 15 are built for this machine" in text
    without = os.pathsep.join(p for p in [str(ROOT), *sys.path] if p != str(FAKE))
    text = machine.denet("doctor", built, PYTHONPATH=without)
    assert "cannot run: TensorRT: not installed" in text
    assert 'pip install ".[tensorrt]"' in text
    text = machine.denet("doctor", built, HOST_CUDA_NO_DEVICE="1")
    assert "host driver, compute" not in text
    assert "no NVIDIA GPU was found" in text
