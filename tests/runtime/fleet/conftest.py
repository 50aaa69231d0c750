"""An archive in a schema of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # without psycopg other tests of this folder run
    from runtime.postgres.address import Address
    from runtime.postgres.connecting import Connection
    from tests.runtime.postgres.server import Server


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def url(postgres: Server, new_schema: Callable[[], str]) -> str:
    """Of an archive that is not there yet."""
    return postgres.setting(f"schema={new_schema()}")


@pytest.fixture
def address(url: str) -> Address:
    from runtime.fleet.settings import ArchiveSettings

    return ArchiveSettings(url=url).address


@pytest.fixture
def archive(address: Address) -> Iterator[Connection]:
    """A connection to an archive that is empty."""
    from runtime.fleet.tables import make_tables
    from runtime.postgres.connecting import connect

    with connect(address) as connection:
        make_tables(connection, address)
        yield connection
