"""Whether a node installs and computes the same on aarch64, emulated by QEMU's user mode.

    python scripts/check_aarch64.py BUNDLE [--keep FOLDER]

The node's packages are resolved and installed for aarch64 (`uv`), into a folder beside a Debian for
arm64 that `debootstrap` unpacks (as root). There `denet verify` runs, and `denet embed` on the
samples of docs/samples in every state, in FP32 and in INT8 where the bundle has it; the embeddings
are held against those of this machine. Then a node runs on the samples. It tells nothing of times,
and nothing of a GPU.

Debian's Python is tried, 3.11. QEMU before 8 dies when it loads ONNX Runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_ranges import MODALITIES, PARTS, ROOT, CheckError, expect, find_uv, node_runs, run

SUITE, PYTHON = "bookworm", "3.11"

PACKAGES = ("python3.11", "libpython3.11-stdlib", "libstdc++6", "libgomp1")
"""Of Debian: what a node needs beside the wheels."""

PROCESSOR = "neoverse-n1"
"""What is emulated: ARMv8.2 with dot products, as the Cortex-A78AE of a Jetson Orin has them."""

LEAST = {"fp32": 0.99999, "int8": 0.999}
"""The cosine of each embedding to that of this machine. INT8 adds the same whole numbers on both,
and rounds between them in float32."""


@dataclass(frozen=True)
class Emulated:
    """A Python for aarch64 with the node installed.

    Attributes:
        qemu: the emulator.
        root: of the Debian.
        site: the folder of packages.
        folder: to work in.
    """

    qemu: Path
    root: Path
    site: Path
    folder: Path

    def __call__(self, *command: object) -> str:
        """Run `denet` or `python`; what it printed."""
        program, *arguments = command
        python = self.root / "usr" / "bin" / f"python{PYTHON}"
        start = [self.qemu, "-cpu", PROCESSOR, "-L", self.root, "-E", f"PYTHONPATH={self.site}"]
        module = ("-m", "cli") if program == "denet" else ()
        return run([*start, python, *module, *arguments], self.folder)


def find_qemu() -> Path | None:
    """An emulator that ONNX Runtime loads in; None where there is none."""
    named = [os.environ.get("QEMU_AARCH64")]
    for found in [*named, *map(shutil.which, ("qemu-aarch64", "qemu-aarch64-static"))]:
        if found is None or not Path(found).is_file():
            continue
        version = re.search(r"version (\d+)", run([found, "--version"], Path.cwd()))
        if version is not None and int(version[1]) >= 8:
            return Path(found)
    return None


def absent() -> str:
    """What is missing here to try it; nothing where all is there."""
    if find_qemu() is None:
        return "needs qemu-aarch64 of QEMU 8 or later: bookworm-backports has 10"
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        return "needs debootstrap, as root"
    return ""


def make_root(place: Path) -> Path:
    """A Debian for arm64, unpacked and never configured: nothing in it has to run for that."""
    root = place / "debian"
    chosen = f"--include={','.join(PACKAGES)}"
    run(["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", chosen, SUITE, root],
        place)  # fmt: skip
    for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        run(["dpkg-deb", "--extract", package, root], place)
    return root


def install(place: Path) -> Path:
    """The node's packages for aarch64, each at its newest release; the folder."""
    uv, source, site = find_uv(), place / "source", place / "site"
    source.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, source / part)
    wheels = place / "wheels"
    run([uv, "build", "--quiet", "--wheel", "--out-dir", wheels, source], place)
    (wheel,) = wheels.glob("*.whl")
    run([uv, "pip", "install", "--quiet", "--target", site, "--python-platform",
         "aarch64-manylinux_2_28", "--python-version", PYTHON, "--only-binary", ":all:",
         f"denet-edge[node] @ {wheel.as_uri()}"], place)  # fmt: skip
    return site


def compare(emulated: Emulated, bundle: Path, precision: str) -> float:
    """The least cosine of an embedding there to the same here, over the samples in every state.

    Raises:
        CheckError: the names, states or precisions are not the same.
    """
    samples = ROOT / "docs" / "samples"
    asked = ("embed", bundle, samples, "--every-state", "--precision", precision, "--out")
    emulated("denet", *asked, "there.npz")
    here = [sys.executable, "-c", "import cli, sys; cli.app(sys.argv[1:])", *map(str, asked)]
    done = subprocess.run(
        [*here, str(emulated.folder / "here.npz")],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    expect(done.returncode == 0, done.stdout + done.stderr)
    there, own = (np.load(emulated.folder / f"{name}.npz") for name in ("there", "here"))
    for name in ("names", "states", "precision", "checkpoint"):
        expect(bool((there[name] == own[name]).all()), f"{name}: {there[name]}, {own[name]}")
    return float(np.min(np.sum(there["embeddings"] * own["embeddings"], axis=1)))


def check(bundle: Path, place: Path) -> None:
    """Install, verify and embed; says what came out.

    Raises:
        CheckError: something failed, or the answers differ.
    """
    qemu = find_qemu()
    assert qemu is not None
    began = time.monotonic()
    emulated = Emulated(qemu, make_root(place), install(place), place)
    machine = emulated("python", "-c", "import platform; print(platform.machine())").strip()
    expect(machine == "aarch64", machine)
    print(f"aarch64, emulated: installed in {time.monotonic() - began:.0f} s", flush=True)
    told = json.loads(emulated("denet", "verify", bundle, "--json"))
    expect(min(told["canary"].values()) > LEAST["fp32"] or told["precision"] != "fp32", told)
    variants = json.loads(emulated("denet", "inspect", bundle, "--json"))["precisions"]
    precisions = [p for p in LEAST if any(name.split("-")[0] == p for name in variants)]
    for precision in precisions:
        cosine = compare(emulated, bundle, precision)
        print(f"aarch64, emulated: {precision}: least cosine {cosine:.7f}", flush=True)
        expect(cosine >= LEAST[precision], f"{precision}: {cosine}")
    samples = ROOT / "docs" / "samples"
    node_runs(emulated, bundle, dict.fromkeys(MODALITIES, f"folder:{samples}"))
    print(f"aarch64, emulated: well; {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Try a node on an emulated aarch64.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it")
    given = parser.parse_args()
    if reason := absent():
        print(f"aarch64, emulated: not tried: {reason}")
        return 1
    act: Callable[[Path], None] = lambda place: check(given.bundle.resolve(), place)  # noqa: E731
    try:
        if given.keep is not None:
            given.keep.mkdir(parents=True)
            act(given.keep.resolve())
        else:
            with tempfile.TemporaryDirectory(prefix="denet-aarch64-") as folder:
                act(Path(folder).resolve())
    except CheckError as error:
        print(f"aarch64, emulated: FAILED\n{error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
