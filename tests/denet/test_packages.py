"""A package that is not there, and one that is there and broken."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from denet.packages import absent, broken


def error_of(name: str) -> ImportError:
    with pytest.raises(ImportError) as caught:
        importlib.import_module(name)
    return caught.value


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that packages are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def package(place: Path, name: str, code: str = "") -> None:
    (place / name).mkdir()
    (place / name / "__init__.py").write_text(code)


def test_a_package_that_is_not_there_is_absent() -> None:
    error = error_of("denet_no_such")
    assert absent(error, "denet_no_such")
    assert absent(error, "another", "denet_no_such")
    assert not absent(error, "another")
    assert absent(error_of("denet_no_such.inside"), "denet_no_such")


@pytest.mark.parametrize("lacks", ["denet_other", "denet_broken_1.part", "denet_other.part"])
def test_one_that_lacks_a_module_is_broken(place: Path, lacks: str) -> None:
    package(place, "denet_broken_1", f"import {lacks}")
    error = error_of("denet_broken_1")
    assert not absent(error, "denet_broken_1")
    text = broken("broken-1", error)
    assert text.startswith("broken-1 is installed, but broken: ")
    assert lacks.removesuffix(".part") in text


def test_one_whose_library_cannot_be_loaded_is_broken(place: Path) -> None:
    package(place, "denet_broken_2", "raise ImportError('libx.so.1: no such file\\nmore')")
    error = error_of("denet_broken_2")
    assert not absent(error, "denet_broken_2")
    assert broken("it", error) == "it is installed, but broken: libx.so.1: no such file"


def test_a_module_that_an_installed_package_lacks_counts_where_it_is_named(place: Path) -> None:
    """A namespace that several distributions fill: one of them is not there."""
    package(place, "denet_space")
    error = error_of("denet_space.part")
    assert not absent(error, "denet_space")
    assert absent(error, "denet_space", "denet_space.part")


def test_another_error_is_none_of_both() -> None:
    assert not absent(ValueError("denet"), "denet")
    assert broken("it", RuntimeError()) == "it is installed, but broken: RuntimeError"
