"""A gallery: in a file, and in a real PostgreSQL where one can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.gallery import Gallery, open_gallery

if TYPE_CHECKING:  # it needs psycopg, without which other tests of this folder run
    from tests.runtime.postgres.server import Server

_NUMBERS = count()


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture(params=["file", "mirror", "database"])
def fresh(
    request: pytest.FixtureRequest, tmp_path: Path, new_schema: Callable[[], str]
) -> Callable[[], str]:
    """Makes settings of galleries that are not there yet, of each kind."""
    if request.param == "file":
        return lambda: str(tmp_path / f"{next(_NUMBERS)}.db")
    server: Server = request.getfixturevalue("postgres")
    return lambda: server.setting(f"schema={new_schema()}", f"search={request.param}")


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    """In a file. Tests of what every gallery does take `each_gallery` for it."""
    with open_gallery(str(path), create=True, storage="float32") as opened:
        yield opened


@pytest.fixture
def each_gallery(fresh: Callable[[], str]) -> Iterator[Gallery]:
    """In a file, and in PostgreSQL, searched in memory and there."""
    with open_gallery(fresh(), create=True, storage="float32") as opened:
        yield opened
