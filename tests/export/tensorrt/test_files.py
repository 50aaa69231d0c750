"""Which built engines may be loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import Bundle
from runtime.backends.tensorrt.files import (
    EngineFileError,
)
from tests.export.tensorrt.parts import (
    A100,
    CMFT,
    DESKTOP,
    EDGE,
    ENGINES,
    Builder,
    build,
    change_source,
    place,
    target,
)
from tests.runtime.backends.tensorrt.machines import find_own


def test_engines_of_this_machine_are_found(root: Path, builder: Builder) -> None:
    build(root, batch=(1, 2, 4), opt_level=5)  # whatever the options
    found = find_own(Bundle.open(root), target(), dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing
    assert list(found.engines) == list(ENGINES)
    assert found.engines[EDGE].path == place(root)
    assert found.engines[EDGE].read() == place(root).read_bytes()


def test_an_absent_engine_is_missing_with_what_to_do(root: Path, bundle: Bundle) -> None:
    found = find_own(Bundle.open(root), target(), {EDGE: "fp32", CMFT: "fp16"})
    assert not found.engines
    assert "not built for this machine: run `denet build" in found.missing[EDGE]
    assert f"has no fp16 of {CMFT}" in found.missing[CMFT]


def test_an_engine_of_another_export_is_missing(root: Path, builder: Builder) -> None:
    build(root)
    change_source(root)
    found = find_own(Bundle.open(root), target(), {EDGE: "fp32", CMFT: "fp32"})
    assert list(found.engines) == [CMFT]
    assert "another ONNX file: run `denet build" in found.missing[EDGE]


def test_a_foreign_engine_is_missing_and_says_whose_it_is(root: Path, builder: Builder) -> None:
    build(root)
    here = target(multiprocessors=8)
    found = find_own(Bundle.open(root), here, {EDGE: "fp32"})
    assert "built for Orin (compute capability 8.7, 16 multi" in found.missing[EDGE]
    # Renaming the folder does not make it fit.
    (root / "trt" / target().name).rename(root / "trt" / here.name)
    found = find_own(Bundle.open(root), here, {EDGE: "fp32"})
    assert "built for Orin (compute capability 8.7, 16 multi" in found.missing[EDGE]


def test_a_compatible_engine_is_found_elsewhere_unless_there_is_an_own_one(
    root: Path, builder: Builder, machine: Callable[..., None]
) -> None:
    machine(DESKTOP)
    made = build(root, hardware_compatible=True)
    found = find_own(Bundle.open(root), A100, {EDGE: "fp32"})
    assert found.engines[EDGE].path == made.engines[EDGE].engine.path
    machine(A100)
    own = build(root).engines[EDGE].engine.path
    found = find_own(Bundle.open(root), A100, {EDGE: "fp32"})
    assert found.engines[EDGE].path == own


def test_a_damaged_engine_is_refused_when_it_is_read(root: Path, builder: Builder) -> None:
    build(root)
    engine = find_own(Bundle.open(root), target(), {EDGE: "fp32"}).engines[EDGE]
    content = engine.path.read_bytes()
    engine.path.write_bytes(content[:-1] + b"?")
    with pytest.raises(EngineFileError, match="damaged: its sha256"):
        engine.read()
    engine.path.unlink()
    with pytest.raises(EngineFileError, match="cannot be read: No such file"):
        engine.read()
