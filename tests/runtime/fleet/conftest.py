"""An archive in a schema of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # without psycopg other tests of this folder run
    from runtime.postgres.address import Address
    from runtime.postgres.connecting import Connection
    from tests.runtime.fleet.sending import Publisher
    from tests.runtime.node.broker import Broker
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


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto that keeps what waits through its death."""
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")
    from tests.runtime.fleet.sending import persistent
    from tests.runtime.node.broker import MOSQUITTO, Broker

    if MOSQUITTO is None:
        pytest.skip("needs mosquitto: apt-get install mosquitto")
    with Broker(tmp_path, *persistent(tmp_path)) as started:
        yield started


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    from tests.runtime.fleet.sending import Publisher

    made = Publisher(broker)
    yield made
    made.close()
