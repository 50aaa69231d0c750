"""The layout is the architecture: which package may import which, and what every module keeps to.

Imports are read from the source, those inside functions included; those for type checkers alone are
not counted.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.paths import ROOT

PACKAGES = ("calibration", "denet", "export", "runtime")

SHARED = (
    "denet.console",
    "denet.data.synthetic",
    "denet.errors",
    "denet.exchange",
    "denet.files",
    "denet.folders",
    "denet.graph",
    "denet.images",
    "denet.lazy",
    "denet.marks",
    "denet.mishaps",
    "denet.missing",
    "denet.options",
    "denet.outputs",
    "denet.packages",
    "denet.pixels",
    "denet.progress",
    "denet.provenance",
    "denet.reading",
    "denet.secrets",
    "denet.temporary",
    "denet.validation",
)
"""What of `denet` needs neither torch nor anything that a camera node lacks."""

MAY_IMPORT = {
    "denet": (),
    "runtime": (*SHARED, "denet.figures", "denet.page"),
    "calibration": ("denet", "runtime"),
    "export": ("denet", "runtime"),
}
"""What of the other packages each may import. A page with figures is drawn late, in the function
that is asked for one: `tests/runtime/test_install.py` imports all of the runtime without torch."""

LAYERS = {
    "runtime": (
        "commands",
        "fleet",
        "node",
        "profile",
        "doctor | benchmark | gallery | serve",
        "describe",
        "embeddings | loading",
        "runtime",
        "composer | canary",
        "layout | backends | preprocess | head | samples",
        "bundle",
        "machine",
        "postgres",
        "address",
    ),
    "runtime.backends": ("choose", "onnxruntime", "tensorrt", "base"),
    "runtime.node": (
        "commands",
        "check",
        "node",
        "snapshot",
        "settings",
        "status",
        "events",
        "boxes | faults",
        "health",
        "sources",
    ),
}
"""Of these parts of a package none imports one that is named before it, or beside it with a bar."""

LONG: dict[str, str] = {
    "denet/graph.py": "the composition in one place; in two, each would need the other",
}
"""Files of more than 400 lines, and why."""

SAME_NAME: dict[str, str] = {}
"""Public classes that stand more than once, and why."""

NAMES_MODALITIES: dict[str, str] = {
    "denet/folders.py": "what their folders are called",
    "denet/options.py": "the options of the command line for single images",
    "denet/data/synthetic/render.py": "the sensors that are drawn",
}
"""Files that name the three modalities together, and why."""


OPENS_IMAGES: dict[str, str] = {
    "denet/figures/drawing.py": "what it has drawn",
    "denet/figures/style.py": "what it has drawn",
    "runtime/node/faults/effects.py": "what it has compressed, to show damage",
}
"""Files that open an image without `denet.images`, and which."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def product() -> list[Path]:
    return [ROOT / "cli.py", *sources(*PACKAGES)]


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_the_command_line_assembles_commands_and_little_else() -> None:
    assert len((ROOT / "cli.py").read_text().splitlines()) <= 350


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str, imports: grimp.ImportGraph) -> None:
    foreign = {
        f"{module} imports {imported}"
        for module in imports.modules
        if inside(module, package)
        for imported in imports.find_modules_directly_imported_by(module)
        if not inside(imported, package)
        and imported != "denet"  # which only says its version, and loads nothing
        and not any(inside(imported, allowed) for allowed in MAY_IMPORT[package])
    }
    assert not foreign


def test_no_package_imports_the_command_line() -> None:
    for path in sources(*PACKAGES):
        assert not re.search(r"^\s*(import cli|from cli )", path.read_text(), re.M), path


def test_modules_import_one_another_in_no_circle(imports: grimp.ImportGraph) -> None:
    # A package whose `__init__` gives names of its modules is no circle: they do not ask it back.
    edges = {m: imports.find_modules_directly_imported_by(m) for m in imports.modules}
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_one_place_imports_onnx_runtime() -> None:
    """It has to be kept from reporting to its maker before it is loaded."""
    found = {
        str(path.relative_to(ROOT))
        for path in product()
        if re.search(r"^\s*(import|from) onnxruntime\b(?!_)", path.read_text(), re.M)
    }
    assert found == {
        "calibration/onnxruntime_tools.py",  # behind the other
        "runtime/backends/onnxruntime/library.py",
    }


@pytest.mark.parametrize("package", LAYERS)
def test_layers_import_downwards(package: str, imports: grimp.ImportGraph) -> None:
    layers = [
        grimp.Layer(*(name.strip() for name in layer.split("|")), independent=True)
        for layer in LAYERS[package]
    ]
    broken = imports.find_illegal_dependencies_for_layers(layers, containers={package})
    assert not {f"{each.importer} reaches up to {each.imported}" for each in broken}


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*product(), *sources("tests", "measurements", "docs")]
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long.keys() == LONG.keys(), long


def test_a_public_class_stands_once() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in product():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert twice.keys() == SAME_NAME.keys(), twice


ENGINE_NAME = re.compile(
    r"""["'](branch|cmft|dem)_(["'{]|rgb|nir|tir)"""  # one that is spelled or put together
    r"""|\.(startswith|removeprefix|partition)\(["'(]*(branch|cmft|dem)\b"""
    r"""|engine\.(partition|split|startswith)\("""
)


def test_one_module_knows_what_engines_are_called() -> None:
    knowing = [path for path in product() if ENGINE_NAME.search(path.read_text())]
    assert set(knowing) <= {ROOT / "denet" / "graph.py"}


def named_in(node: ast.AST) -> set[object]:
    """What a literal holds, or which fields a class has."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict | ast.Subscript):
        return {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
    if isinstance(node, ast.ClassDef):
        fields = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
        return {field.id for field in fields if isinstance(field, ast.Name)}
    return set()


def test_the_set_of_modalities_is_a_value() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in product()
        if path != ROOT / "denet" / "graph.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if {"rgb", "nir", "tir"} <= named_in(node)
    }
    assert found == NAMES_MODALITIES.keys()


def test_one_module_opens_images_that_others_wrote() -> None:
    opening = re.compile(r"\bImage\.open\(")
    found = {str(p.relative_to(ROOT)) for p in product() if opening.search(p.read_text())}
    assert found == OPENS_IMAGES.keys()
