"""A document of plain values as the struct that it is to be, and what is wrong with it in words."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from denet.errors import DenetError

T = TypeVar("T")


def converted(value: Any, kind: type[T], place: str, error: type[DenetError]) -> T:
    """A value as `kind`.

    Args:
        value: tables, lists, texts, numbers.
        kind: a struct.
        place: where it stands, for messages; "" for the whole.
        error: to raise.

    Raises:
        error: it is not such a one; names the key first, and never repeats a value.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as reason:
        raise error(_in_plain_words(str(reason), place)) from None


def unknown_key(key: str, where: str, known: str = "") -> str:
    """What to say of a key that there is not."""
    return f"unknown key {key!r} in {where}: remove it, or correct its name{known}"


def _in_plain_words(message: str, within: str) -> str:
    """What msgspec says of what is at `within`, with the key first."""
    text, _, inside = message.partition(" - at `$")
    place = f"{within}{inside.rstrip('`')}".lstrip(".")
    unknown = re.fullmatch("Object contains unknown field `(.*)`", text)
    if unknown is not None:
        return unknown_key(unknown[1], f"[{place}]" if place else "the file")
    missing = re.fullmatch("Object missing required field `(.*)`", text)
    if missing is not None:
        return f"{f'{place}.' if place else ''}{missing[1]}: is missing"
    return f"{place}: {text[:1].lower()}{text[1:]}" if place else text
