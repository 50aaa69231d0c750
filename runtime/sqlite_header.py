"""The header of an SQLite file, without SQLite (https://www.sqlite.org/fileformat.html, 1.3)."""

from __future__ import annotations

LENGTH = 100
"""Bytes of a header."""

MAGIC = b"SQLite format 3\0"
"""Every file begins with it."""

CHANGES, COOKIE, USER_VERSION, APPLICATION_ID = 24, 40, 60, 68
"""Places of the fields: the counter of changes, the schema cookie, and what denet sets, the schema
of the tables and whose file it is."""


def number(head: bytes, place: int) -> int:
    """The field of a header, of 4 bytes, at that place."""
    return int.from_bytes(head[place : place + 4], "big")


def is_of(head: bytes, application: int) -> bool:
    """Whether a header is that of an SQLite file of an application."""
    return head.startswith(MAGIC) and number(head, APPLICATION_ID) == application
