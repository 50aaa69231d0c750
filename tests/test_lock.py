"""The locks hold what pyproject.toml asks for, for every Python and processor, and agree."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCKS = ("dev", "train", "docs")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PROCESSORS = ("x86_64", "aarch64")
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)


def text_of(lock: str) -> str:
    return (ROOT / "locks" / f"{lock}.txt").read_text()


def platform_of(python: str, processor: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "platform_machine": processor,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def pinned(lock: str, where: dict[str, str]) -> dict[str, Version]:
    """What a lock installs there."""
    found: dict[str, Version] = {}
    for name, version, marker in PIN.findall(text_of(lock)):
        if not marker or Marker(marker).evaluate(where):
            assert name not in found, f"{lock}: {name} twice"
            found[name] = Version(version)
    return found


def wanted(project: dict[str, Any], extra: str, where: dict[str, str]) -> Iterator[Requirement]:
    """What the project asks for with an extra, there."""
    extras = project["optional-dependencies"]
    for line in project["dependencies"] + extras[extra]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(where):
            if requirement.name == project["name"]:
                for other in sorted(requirement.extras):
                    yield from wanted(project, other, where)
            else:
                yield requirement


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("python", PYTHONS)
def test_what_the_project_asks_for_is_locked(python: str, processor: str) -> None:
    """A requirement that was changed without `make lock` is found here."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    where = platform_of(python, processor)
    (build,) = document["dependency-groups"]["build"]
    assert build in document["build-system"]["requires"]
    for lock in LOCKS:
        pins = pinned(lock, where)
        asked = [*wanted(document["project"], lock, where), Requirement(build)]
        assert len(asked) > (5 if lock == "docs" else 10)
        for requirement in asked:
            version = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{lock}: {requirement}: {version}"
    train, dev, docs = (pinned(lock, where) for lock in ("train", "dev", "docs"))
    assert train == {name: dev[name] for name in train}, "they may share an environment"
    assert {n: v for n, v in docs.items() if n in dev} == {n: dev[n] for n in docs if n in dev}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_has_a_hash_and_none_an_address(lock: str) -> None:
    text = text_of(lock)
    for entry in re.split(r"\n(?=[a-z0-9])", text.partition("\n#    make lock\n")[2]):
        assert PIN.match(entry), entry.partition("\n")[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.partition("\n")[0]
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
