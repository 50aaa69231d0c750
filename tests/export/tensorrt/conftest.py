"""Fixtures of the tests of TensorRT's engines: a bundle, and machines that are played."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from export.tensorrt import build as tensorrt
from export.tensorrt import process
from runtime.backends.tensorrt.machine import (
    BuildMachine,
)
from tests.conftest import copied
from tests.export.tensorrt.parts import MODULE, Builder, target
from tests.paths import FAKE


@pytest.fixture
def root(bundle_path: Path, tmp_path: Path) -> Path:
    return copied(bundle_path, tmp_path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Calling it makes this machine another one."""

    def become(here: BuildMachine, module: Any = MODULE) -> None:
        monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: module)
        monkeypatch.setattr(tensorrt, "this_machine", lambda _: here)

    become(target())
    return become


@pytest.fixture
def builder(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Builder:
    """This machine is a Jetson, and builds in no time."""
    builder = Builder()
    monkeypatch.setattr(process, "run", builder)
    return builder


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Processes started from here import the fake; calling it says what goes wrong."""
    monkeypatch.syspath_prepend(FAKE)

    def play(mode: str) -> None:
        monkeypatch.setenv("FAKE_TENSORRT", mode)

    play("")
    return play


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules that use TensorRT, with the fake in its place."""
    spec = importlib.util.spec_from_file_location("tensorrt", FAKE / "tensorrt" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    modules = {name: f"export.tensorrt.{name}" for name in ("proof", "builder")}
    for name in modules.values():
        sys.modules.pop(name, None)
    try:
        found = {key: importlib.import_module(name) for key, name in modules.items()}
        yield SimpleNamespace(fake=fake, **found)
    finally:
        for name in modules.values():
            sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
