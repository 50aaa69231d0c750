"""One state of a gallery for several statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.postgres.connecting import Connection


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """What others commit meanwhile is not seen within."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")
