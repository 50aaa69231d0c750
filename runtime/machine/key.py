"""The key of this user on this machine, by which what was made here is known again.

It is drawn when something is first made and stays where a service's or a user's state is. Whoever
can read it can make what is taken for ours, so nobody else can.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from denet.errors import DenetError
from denet.files import written_whole
from denet.outputs import writing
from denet.reading import read_file

KEY = "build.key"

_BYTES = 32


def key_path() -> Path:
    """Where this user's key is: in the folder that systemd gives a service for its state, else in
    that of the user."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]) / KEY
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "denet" / KEY


def own_key(error: type[DenetError]) -> bytes | None:
    """The key; None where nothing was made here yet.

    Raises:
        error: it cannot be read, or is damaged.
    """
    path = key_path()
    try:
        if not path.exists():
            return None
    except OSError:  # a folder that this user may not look into holds nothing of theirs
        return None
    key = read_file(path, error, _BYTES)
    if len(key) != _BYTES:
        raise error(f"{path}: damaged: remove it, and build the engines again")
    return key


def made_key(error: type[DenetError]) -> bytes:
    """The key, which is drawn where there is none, and kept for this user alone.

    Raises:
        error: it cannot be read or written.
    """
    found = own_key(error)
    if found is not None:
        return found
    path, key = key_path(), secrets.token_bytes(_BYTES)
    with writing(path, error):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, private=True) as temporary:
            temporary.write_bytes(key)
    return key


def code_of(key: bytes, content: bytes) -> str:
    """What only a holder of `key` can say of `content`: its HMAC by SHA-256, in hexadecimal."""
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def is_code(key: bytes | None, content: bytes, code: str) -> bool:
    """Whether `code` is that of `content`; without a key nothing is."""
    return key is not None and hmac.compare_digest(code_of(key, content).encode(), code.encode())
