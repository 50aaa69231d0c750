"""What is installed holds all that the packages have beside their modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES = ("calibration", "denet", "export", "runtime")


def test_these_are_all_packages() -> None:
    assert SETUPTOOLS["packages"]["find"]["include"] == [f"{name}*" for name in PACKAGES]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_installed(package: str) -> None:
    folder: Path = ROOT / package
    files = {x for x in folder.rglob("*") if x.is_file() and x.suffix not in (".py", ".pyc")}
    named = {x for pattern in SETUPTOOLS["package-data"][package] for x in folder.glob(pattern)}
    assert files == named
    assert folder / "py.typed" in files, "a type checker would not read its hints"
