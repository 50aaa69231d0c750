"""A gallery in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.gallery import Gallery, open_gallery


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with open_gallery(str(path), create=True, storage="float32") as opened:
        yield opened
