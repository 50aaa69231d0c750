"""Whether the ranges of pyproject.toml are true: the package at the oldest releases that they
allow, with the oldest Python, and at the newest ones, with the newest Python.

    python scripts/check_ranges.py [--skip-absent] [--keep FOLDER] [CASE...]

Each case installs the package in a fresh environment in a temporary folder, and uses it as a user
does. The first trains and exports the bundle that the nodes run. Needs `uv`, which the extra `dev`
has, a package index, and for a case the Python that it names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent

PARTS = ("calibration", "denet", "export", "runtime", "cli.py", "pyproject.toml", "MANIFEST.in")
PARTS += ("README.md", "LICENSE")
"""What the package is built from: a copy of it, so that nothing is written into the checkout."""

RECIPE = """
[model]
backbone = "timm:test_resnet"
image_size = [64, 32]
cmft_width = 4
dem_channels = 4
[train]
epochs = 1
identities = 2
instances = 2
pretrained = false
workers = 0
"""
"""Trains in seconds."""

IMPORT_ALL = """
import importlib, pkgutil, runtime
for module in pkgutil.walk_packages(runtime.__path__, "runtime."):
    importlib.import_module(module.name)
"""

FILMS = """
import sys
import av
import numpy as np
for name in sys.argv[1:]:
    with av.open(name, "w") as writer:
        stream = writer.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 128, "yuv420p"
        for number in range(20):
            noise = np.random.default_rng(number).integers(60, 200, (128, 64, 3), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")):
                writer.mux(packet)
        for packet in stream.encode():
            writer.mux(packet)
"""

ARRAYS = """
import sys
import numpy as np
names = set(np.load(sys.argv[1]).files)
assert names == set(sys.argv[2:]), names
"""
EMBEDDED = (
    *("embeddings", "names", "states", "checkpoint", "projection", "precision", "backend"),
    "digest",
)

MODALITIES = ("rgb", "nir", "tir")


class CheckError(Exception):
    """A command failed, or gave something else than it should."""


class Installed(Protocol):
    """The package, somewhere, in whose place a program runs."""

    @property
    def folder(self) -> Path:
        """To work in."""

    def __call__(self, *command: object) -> str:
        """Run `denet` or `python`; what it printed."""


@dataclass(frozen=True)
class Environment:
    """A fresh environment with the package.

    Attributes:
        scripts: its folder of programs.
        folder: an empty folder to work in.
    """

    scripts: Path
    folder: Path

    def __call__(self, *command: object) -> str:
        """Run one of its programs; what it printed."""
        program, *arguments = command
        return run([self.scripts / str(program), *arguments], self.folder)


def run(command: Sequence[object], folder: Path) -> str:
    """Run a command; what it printed.

    Raises:
        CheckError: it failed; with all that it said.
    """
    words = [str(word) for word in command]
    # Neither this environment nor this checkout may be seen.
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    clean = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=clean, check=False)
    if done.returncode != 0:
        shown = " ".join(word if len(word) < 200 else "..." for word in words)
        raise CheckError(f"{shown}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(true: bool, what: object) -> None:
    """Go on only if that is so."""
    if not true:
        raise CheckError(f"not as expected: {what}")


def find_python(version: str) -> Path | None:
    """A Python of a version as "3.10": of the PATH, or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    candidates = [Path(on_path)] if on_path else []
    candidates += sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    for candidate in candidates:
        asked = [candidate, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
        if told.stdout.strip() == version:
            return candidate
    return None


def find_uv() -> Path:
    """The program `uv`, of this environment or of the PATH."""
    own = Path(sys.executable).parent / "uv"
    found = own if own.is_file() else shutil.which("uv")
    if found is None:
        raise CheckError("uv is not installed: pip install uv")
    return Path(found)


def installed(python: Path, extras: str, resolution: str, place: Path) -> Environment:
    """The package with these extras, at the oldest or the newest releases, in `place`."""
    uv, source, environment = find_uv(), place / "source", place / "venv"
    shutil.rmtree(place, ignore_errors=True)  # of a run before
    source.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, source / part)
    run([uv, "venv", "--quiet", "--python", python, environment], place)
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    install = [uv, "pip", "install", "--quiet", "--python", scripts / "python"]
    run([*install, "--resolution", resolution, f".[{extras}]"], source)
    (place / "work").mkdir()
    found = run([uv, "pip", "list", "--quiet", "--python", scripts / "python"], place)
    (place / "packages.txt").write_text(found)
    return Environment(scripts, place / "work")


# What is tried


def trains(denet: Environment, shared: Path) -> None:
    """One epoch, a bundle, INT8, a report. Leaves the bundle in `shared`."""
    (denet.folder / "recipe.toml").write_text(RECIPE)
    sizes = ("--identities", 24, "--cameras", 2, "--shots", 2, "--height", 64, "--width", 32)
    denet("denet", "synth", "data", *sizes)
    denet("denet", "init", "untrained.safetensors", "--config", "recipe.toml")
    denet("denet", "train", "data", "--out", "run", "--config", "recipe.toml")
    best = "run/best.safetensors"
    denet("denet", "export", best, "--out", "model.denet")
    denet("denet", "verify", "model.denet", "--against", best)
    denet("denet", "report", "data", best, "model.denet", "--out", "report.html")
    # What it costs is not the question here.
    int8 = ("--precision", "int8", "--budget", 100, "--samples", 16)
    denet("denet", "calibrate", "model.denet", "data", *int8)
    denet("denet", "verify", "model.denet")
    shutil.copytree(denet.folder / "model.denet", shared / "model.denet", dirs_exist_ok=True)


def runs_a_node(denet: Environment, shared: Path) -> None:
    """All that a node does, in FP32 and INT8, of a folder and of video files."""
    bundle, samples = shared / "model.denet", ROOT / "docs" / "samples"
    expect(bundle.is_dir(), f"{bundle}: the case train-oldest makes it")
    denet("python", "-c", IMPORT_ALL)
    found = json.loads(denet("denet", "doctor", bundle, "--json"))
    expect(found["backends"]["ort-cpu"] is None, found["backends"])
    denet("denet", "doctor", bundle)
    denet("denet", "verify", bundle)
    for precision in ("fp32", "int8"):
        out = f"{precision}.npz"
        embed = ("denet", "embed", bundle, samples, "--out", out, "--precision", precision)
        denet(*embed, "--check", "--every-state")
        denet("python", "-c", ARRAYS, out, *EMBEDDED)
    short = ("--only", "states", "--rounds", 2, "--report", "bench.html", "--out", "bench.json")
    denet("denet", "bench", bundle, *short)
    node_runs(denet, bundle, dict.fromkeys(MODALITIES, f"folder:{samples}"))
    films = {m: f"{m}.mp4" for m in MODALITIES}
    denet("python", "-c", FILMS, *films.values())
    node_runs(denet, bundle, {m: f"file:{denet.folder / film}" for m, film in films.items()})


def node_runs(denet: Installed, bundle: Path, urls: dict[str, str]) -> None:
    """A node of these sources goes through its check, runs to the end, and counts all it saw."""
    sources = "".join(f'[sources.{m}]\nurl = "{url}"\nrate = 10\n' for m, url in urls.items())
    rest = '[events.lines]\npath = "events.jsonl"\n[metrics]\nport = 0\n[status]\nport = 0\n'
    text = f'name = "a"\n[model]\nbundle = "{bundle}"\n{sources}{rest}'
    (denet.folder / "node.toml").write_text(text)
    denet("denet", "node", "check", "node.toml")
    # It ends by itself; a source that is lost for ever would let it run on.
    printed = denet("denet", "node", "run", "node.toml", "--json", "--for", 60)
    facts = json.loads(printed.splitlines()[-1])
    expect(facts["crops"]["left"] > 0, facts)
    for account in (*facts["frames"].values(), facts["triplets"], facts["crops"]):
        balanced = account["entered"] == account["left"] + sum(account["dropped"].values())
        expect(balanced and account["entered"] > 0, facts)


@dataclass(frozen=True)
class Case:
    """An environment, and what is tried in it.

    Attributes:
        python: its version.
        extras: of the package.
        resolution: which releases, as uv calls it.
        tries: what is done.
    """

    python: str
    extras: str
    resolution: str
    tries: Callable[[Environment, Path], None]


CASES = {
    "train-oldest": Case("3.10", "train", "lowest-direct", trains),
    "node-oldest": Case("3.10", "node,report,central,remote", "lowest-direct", runs_a_node),
    "node-newest": Case("3.13", "node,report,central,remote", "highest", runs_a_node),
}
"""In an order in which each finds what it needs."""


def check(names: Iterable[str], place: Path, *, skip_absent: bool) -> bool:
    """Try cases, and say of each what became of it; whether all is well."""
    well = True
    for name in names:
        case, began = CASES[name], time.monotonic()
        python = find_python(case.python)
        if python is None:
            print(f"{name}: not tried: there is no Python {case.python} here", flush=True)
            well = well and skip_absent
            continue
        try:
            environment = installed(python, case.extras, case.resolution, place / name)
            took = time.monotonic() - began
            case.tries(environment, place)
        except CheckError as error:
            print(f"{name}: FAILED\n{error}", flush=True)
            well = False
        else:
            whole = time.monotonic() - began
            print(f"{name}: well; {whole:.0f} s, {took:.0f} s of them to install", flush=True)
        finally:
            shutil.rmtree(place / name / "venv", ignore_errors=True)
    return well


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="See that the ranges of pyproject.toml are true.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all")
    parser.add_argument("--skip-absent", action="store_true", help="a Python may be missing")
    parser.add_argument("--keep", type=Path, help="work here, and leave all but environments")
    given = parser.parse_args()
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}: choose from {', '.join(CASES)}")
    names = [name for name in CASES if not given.cases or name in given.cases]
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        return int(not check(names, given.keep.resolve(), skip_absent=given.skip_absent))
    with tempfile.TemporaryDirectory(prefix="denet-ranges-") as folder:
        return int(not check(names, Path(folder).resolve(), skip_absent=given.skip_absent))


if __name__ == "__main__":
    sys.exit(main())
