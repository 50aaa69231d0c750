"""Opens an archive for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.fleet.errors import FleetError
from runtime.fleet.settings import FleetSettings
from runtime.fleet.tables import require
from runtime.postgres.connecting import Connection, connect, in_plain_words


@contextmanager
def opened_archive(settings: FleetSettings, *, there: bool = True) -> Iterator[Connection]:
    """A connection to the archive; what goes wrong within is told in one line.

    Args:
        settings: of the fleet.
        there: see that there is an archive.

    Raises:
        FleetError: it cannot be reached, is not there, or something within failed.
    """
    address = settings.archive.address
    with in_plain_words(address, FleetError), connect(address) as connection:
        if there:
            require(connection, address)
        yield connection
