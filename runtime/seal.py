"""A JSON document with the digest of its own bytes at its end."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

KEY = "digest"

_DIGEST, _END = f'"{KEY}": "'.encode(), b'"\n}\n'
"""What stands before the digest and behind it, at the very end of a file."""


def sealed(document: Any, indent: int = 2) -> bytes:
    """A struct, or plain data, as indented JSON with the digest as its last member.

    The digest is of the bytes before it, not of what they mean: so no flipped bit goes unnoticed,
    were it in the white space, and nothing depends on how somebody's JSON writes a number.
    """
    encoded = msgspec.json.format(msgspec.json.encode(document), indent=indent)
    body = encoded.removesuffix(b"\n}") + b",\n" + b" " * indent + _DIGEST
    return body + hashlib.sha256(body).hexdigest().encode() + _END


def is_sealed(content: bytes) -> bool:
    """Whether the bytes of a document are as `sealed` wrote them."""
    body, found = content[: -len(_END) - 64], content[-len(_END) - 64 :]
    whole = hashlib.sha256(body).hexdigest().encode() + _END
    return body.endswith(_DIGEST) and found == whole
