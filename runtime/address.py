"""What addresses in settings have in common, whatever they are of."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl

from denet.errors import DenetError


def shown(parts: SplitResult) -> str:
    """An address without its user and its options, which messages would hide."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_loopback(host: str) -> bool:
    """Whether nothing leaves this machine on the way to `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_options(
    parts: SplitResult, known: Sequence[str], error: type[DenetError]
) -> dict[str, str]:
    """The options behind the question mark of an address.

    Args:
        parts: of the address.
        known: the options that there are.
        error: to raise.

    Raises:
        error: one is unknown, is given twice, or has no value.
    """
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    for key, value in pairs:
        if key not in known:
            raise error(f"{shown(parts)}: there is no option {key!r}, only {', '.join(known)}")
        if not value or "\0" in value or [k for k, _ in pairs].count(key) > 1:
            raise error(f"{shown(parts)}: {key} needs one value")
    return dict(pairs)
