"""Addresses of cameras carry passwords, and what decoders say repeats the address."""

from __future__ import annotations

import re

# The last "@" before another URL or the end of the line ends the secret. People put "@", "/",
# blanks and quotes into passwords as they are; so rather more is hidden than less.
_SCHEME = r"[a-z][a-z0-9+.-]*://"
_SECRET = re.compile(rf"(?P<scheme>{_SCHEME})(?:(?!{_SCHEME}).)*@", re.IGNORECASE)


def redacted(text: str) -> str:
    """`text` in which every user and password of a URL is "***"."""
    return _SECRET.sub(r"\g<scheme>***@", text)
