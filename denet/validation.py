"""What is wrong with a file of settings or of facts, in words of the file.

msgspec names a place as `$.train.epochs` and comes to it last. The key comes first here, as in
every message of ours, and no value is repeated: it may be a secret.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

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
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as reason:
        raise error(in_plain_words(str(reason), place)) from None


def in_plain_words(message: str, within: str = "") -> str:
    """What msgspec says of a value, with its key first; of other texts nothing is changed.

    Args:
        message: of its ValidationError.
        within: the key of the table that was read, where it was not the whole file.
    """
    text, at, inside = message.partition(" - at `$")
    place = f"{within}{inside.rstrip('`')}".lstrip(".") if at else within
    unknown = re.fullmatch("Object contains unknown field `(.*)`", text)
    if unknown is not None:
        return unknown_key(unknown[1], f"[{place}]" if place else "the file")
    missing = re.fullmatch("Object missing required field `(.*)`", text)
    if missing is not None:
        return f"{f'{place}.' if place else ''}{missing[1]}: is missing"
    return f"{place}: {text[:1].lower()}{text[1:]}" if place else text


def unknown_key(key: str, where: str, known: str = "") -> str:
    """That there is no such key in `where`; `known` says which there are, as ": a, b"."""
    return f"unknown key {key!r} in {where}: remove it, or correct its name{known}"
