"""What the files of the gallery and of the outbox have in common."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from denet.errors import DenetError
from runtime.sqlite import (
    connect,
    has_tables,
    in_plain_words,
    keep_log,
    make_private,
    mark,
    pragma,
    row_digest,
    structure_fault,
    transaction,
)


def table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")


def test_a_file_is_private_and_has_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_private(path)
    make_private(path)  # which is there already
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(connect(path, table, patience=0.0)) as connection:
        keep_log(connection, 0.0)
        mark(connection, 7, 3)
    with closing(connect(path, table, patience=0.0)) as connection:
        assert (pragma(connection, "application_id"), pragma(connection, "user_version")) == (7, 3)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(tmp_path / "a.db", table, patience=0.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a?b#c%41.db", "é ü.db", "\udcff.db"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    make_private(tmp_path / name)
    connect(tmp_path / name, table, patience=0.0).close()
    assert (tmp_path / name).stat().st_size > 0


def test_a_view_in_the_place_of_a_table_is_seen(tmp_path: Path) -> None:
    path, statement = tmp_path / "a.db", "CREATE TABLE t (x)"
    make_private(path)
    with closing(connect(path, lambda _: None, patience=0.0)) as connection:
        assert not has_tables(connection, [statement])
        connection.execute(statement)
        assert has_tables(connection, [statement])
        connection.execute("CREATE VIEW v AS SELECT * FROM t")
        assert not has_tables(connection, [statement])


def test_a_digest_is_of_each_field() -> None:
    digests = {
        row_digest(*fields)
        for fields in ((b"", b"ab"), (b"", b"a", b"b"), (b"", b"", b"ab"), (b"s", b"ab"), (b"",))
    }
    assert len(digests) == 5
    assert row_digest(b"s", b"ab") == row_digest(b"s", b"ab")


def test_pages_that_are_damaged_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_private(path)
    with closing(connect(path, table, patience=0.0)) as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 999,)] * 50)
        assert structure_fault(connection) is None
    content = bytearray(path.read_bytes())
    content[2 * 4096 + 3] ^= 1  # cells of a page
    path.write_bytes(content)
    with closing(connect(path, table, patience=0.0)) as connection:
        assert structure_fault(connection)


def fail_halfway(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (2)")
    raise ZeroDivisionError


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    make_private(tmp_path / "a.db")
    with closing(connect(tmp_path / "a.db", table, patience=0.0)) as connection:
        with transaction(connection):
            connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ZeroDivisionError), transaction(connection):
            fail_halfway(connection)
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_errors_are_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_private(tmp_path / "b.db")
    path.write_text("no database at all, though it is long enough for a header of SQLite")
    with (
        pytest.raises(DenetError, match=r"a\.db: it is something else$"),
        in_plain_words(path, {"not a database": "it is something else"}, DenetError),
    ):
        connect(path, table, patience=0.0)
    with (
        pytest.raises(DenetError, match=r"a\.db: no such table: u$"),
        in_plain_words(path, {}, DenetError),
        closing(connect(tmp_path / "b.db", table, patience=0.0)) as connection,
    ):
        connection.execute("SELECT * FROM u")


def test_a_log_is_waited_for_as_long_as_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_private(path)
    with (
        closing(connect(path, table, patience=0.0)) as one,
        closing(connect(path, table, patience=0.0)) as other,
    ):
        with transaction(one), pytest.raises(sqlite3.OperationalError, match="locked"):
            keep_log(other, 0.05)
        keep_log(other, 0.05)
