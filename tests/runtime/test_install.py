"""A camera node: an environment with the base dependencies alone, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.paths import ROOT

IMPORT_ALL = """
import importlib, pkgutil, sys
import denet.graph, runtime
names = [m.name for m in pkgutil.walk_packages(runtime.__path__, "runtime.")]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Of `node`, `report`, `central`, `remote`.
        of_extras = {"paho", "matplotlib", "psycopg", "google"}
        assert error.name.partition(".")[0] in of_extras, error
assert len(names) > 10, names
found = {"torch", "torchvision", "onnx"} & set(sys.modules)
assert not found, found
try:
    import torch
except ModuleNotFoundError:
    print("no torch")
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment with the tool and its base dependencies."""
    root = tmp_path_factory.mktemp("node") / "venv"
    venv.create(root)
    scripts = root / ("Scripts" if sys.platform == "win32" else "bin")
    # By the pip that is here, and compiling what is imported alone: half the time.
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    run([*pip, "install", "-q", "--no-compile", ROOT])
    return scripts


def run(command: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return done  # type: ignore[no-any-return]


def test_every_module_of_the_runtime_imports_without_torch(node: Path, tmp_path: Path) -> None:
    done = run([node / "python", "-c", IMPORT_ALL], cwd=tmp_path)
    assert done.stdout.strip() == "no torch"


def test_a_node_embeds(node: Path, bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    samples = ROOT / "docs" / "samples"
    command = [node / "denet", "embed", bundle_path, samples, "--out", out, "--check", "--json"]
    facts = json.loads(run(command, cwd=tmp_path).stdout)
    assert facts["states"][0]["state"] == "rgb+nir+tir"
    assert facts["states"][0]["samples"] == 6
    assert out.is_file()


def test_a_node_verifies(node: Path, bundle_path: Path, tmp_path: Path) -> None:
    run([node / "denet", "verify", bundle_path, "--json"], cwd=tmp_path)


def test_a_node_runs_on_a_recording_without_any_extra(
    node: Path, bundle_path: Path, tmp_path: Path
) -> None:
    sources = "".join(
        f'[sources.{m}]\nurl = "folder:{ROOT / "docs" / "samples"}"\nrate = 20\n'
        for m in ("rgb", "nir", "tir")
    )
    model = f'[model]\nbundle = "{bundle_path}"\n'
    (tmp_path / "node.toml").write_text(
        f'name = "a"\n{model}{sources}[events.lines]\npath = "events.jsonl"\n'
    )
    command = [node / "denet", "node", "run", "node.toml", "--json"]
    facts = json.loads(run(command, cwd=tmp_path).stdout.splitlines()[-1])
    for account in (*facts["frames"].values(), facts["triplets"], facts["crops"]):
        assert account["entered"] == account["left"] + sum(account["dropped"].values())
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert (
        len(lines) == facts["events"]["lines"]["delivered"] == facts["events"]["lines"]["published"]
    )
    (tmp_path / "node.toml").write_text(f'name = "a"\n{model}{sources}[metrics]\nport = 0\n')
    done = in_node(node, tmp_path, "node", "check", "node.toml")
    assert done.returncode == 2
    assert ".[node]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def in_node(node: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the node's install, run in a folder."""
    return subprocess.run(
        [node / "denet", *arguments], capture_output=True, text=True, check=False, cwd=folder
    )


@pytest.mark.parametrize("command", ["init", "export"])
def test_what_needs_torch_says_so(node: Path, tmp_path: Path, command: str) -> None:
    arguments = ["x.safetensors"] + (["--out", "x.denet"] if command == "export" else [])
    done = in_node(node, tmp_path, command, *arguments)
    assert done.returncode == 2
    assert "pip install '.[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
