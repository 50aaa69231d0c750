"""Addresses of cameras carry passwords, and what decoders say repeats the address."""

from __future__ import annotations

import re

# The last "@" ends the secret: people put one into passwords.
_SECRET = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/'\"]*@", re.IGNORECASE)


def redacted(text: str) -> str:
    """`text` in which every user and password of a URL is "***"."""
    return _SECRET.sub(r"\g<scheme>***@", text)
