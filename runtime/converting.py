"""A document of plain values as the struct that it is to be, and what is wrong with it in words."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from denet.errors import DenetError
from denet.validation import in_plain_words

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
        raise error(in_plain_words(str(reason), place)) from None
