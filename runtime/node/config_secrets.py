"""Secrets that a configuration does not hold itself: `${env:NAME}` and `${file:PATH}`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from denet.reading import read_text
from denet.secrets import remember_secret
from runtime.node.errors import NodeError

LARGEST = 1 << 16
"""Bytes of a secret in a file."""

_PLACEHOLDER = re.compile(r"\$\{(?P<kind>env|file):(?P<name>[^}]*)\}")


def fill_in_secrets(value: Any, key: str = "") -> Any:
    """A document in whose texts each placeholder is what it stands for, which no message shows.

    Args:
        value: tables, lists, texts, numbers.
        key: where it stands, for messages.

    Raises:
        NodeError: there is no such variable or file; names the key.
    """
    if isinstance(value, dict):
        return {k: fill_in_secrets(v, f"{key}.{k}" if key else str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [fill_in_secrets(v, f"{key}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _stands_for(found["kind"], found["name"], key), value)
    return value


def _stands_for(kind: str, name: str, key: str) -> str:
    if kind == "env":
        found = os.environ.get(name)
        if found is None:
            raise NodeError(f"{key}: the environment has no variable {name}")
    else:
        try:
            found = read_text(Path(name), NodeError, LARGEST).rstrip("\r\n")
        except NodeError as error:
            raise NodeError(f"{key}: {error}") from None
    remember_secret(found)
    return found
