"""The layout is the architecture: imports run one way, wherever in a module they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.paths import ROOT

PACKAGES = ("calibration", "cli", "denet", "export", "runtime")

MAY_IMPORT = {
    "denet": set(),
    "runtime": {"denet"},
    "calibration": {"denet", "runtime"},
    "export": {"denet", "runtime"},
}

OF_DENET = {
    "console",
    "errors",
    "figures",
    "files",
    "graph",
    "options",
    "outputs",
    "page",
    "pixels",
}
"""The modules of denet that a camera node imports; `figures` and `page` where a page is made."""


def imported(package: str) -> Iterator[tuple[str, str]]:
    """(file, module) of each import of one of our packages in another."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == "denet":
                names = [f"denet.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module]
            for name in names:
                if name.partition(".")[0] in PACKAGES and name.partition(".")[0] != package:
                    yield str(path.relative_to(ROOT)), name


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_those_below_it(package: str) -> None:
    wrong = [
        (file, name)
        for file, name in imported(package)
        if name.partition(".")[0] not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_a_camera_node_imports_few_modules_of_denet() -> None:
    wrong = [
        (file, name)
        for file, name in imported("runtime")
        if name.split(".")[1:2] not in ([], ["__version__"]) and name.split(".")[1] not in OF_DENET
    ]
    assert wrong == []
