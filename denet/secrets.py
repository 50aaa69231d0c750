"""Hides secrets in what is shown: by their place, by the name of their key, and by themselves.

By themselves those that a configuration told: decoders repeat addresses in ways of their own.
People put "@", "/", blanks and quotes into passwords as they are; so rather more is hidden than
less.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

HIDDEN = "***"

SHORTEST = 4
"""Characters of a secret that is hidden by itself: a shorter one would hide half of every text, and
is hidden by its place alone."""

LONGEST = 4000
"""Characters of a line that is shown. What is longer repeats a file."""

WORD = 8
"""Characters of a value of an unknown key from which on it is no word such as "true"."""

_HARMLESS = (
    "audio|camera|ch|channel|codec|compression|format|fps|framerate|height|latency|mode|profile|"
    "proto|protocol|resolution|rotation|stream|streamtype|subtype|timeout|transport|unicast|video|"
    "videocodec|width"
)
"""Keys of a query whose value is shown, if it is short and plain."""

_PLAIN = r"[\w.-]{0,12}"

_NAME = r"[\w.-]+"
_SCHEME = r"[a-z][a-z0-9+.-]*://"
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"

_USERINFO = rf"(?P<scheme>{_SCHEME})(?:(?!{_SCHEME}).)*@"
"""The last "@" before another URL or the end of the line ends the secret."""

_BARE = r"(?<![^\s'\"=<(\[,!])[^\s/:@'\"=]+:(?!//)[^\s@]\S*@(?=[\w\[])"
"""The same without a scheme, as `user:password@host`."""

_QUERY = r"[?#][^\s'\"<>]*=[^\s'\"<>]*"

_PAIR = r"(?P<mark>[?&;#])(?P<key>[^=&;#]*)=(?P<value>[^&;#]*)"
"""In a query."""

_KEYED = rf"(?P<key>{_NAME})(?P<mark>[\"']?\s*=\s*|[\"']\s*:\s*)(?P<value>{_QUOTED}|[^\s'\"]+)"

_HEADER = rf"(?P<key>{_NAME})(?P<mark>:[ \t]*)(?P<value>[^\r\n'\"]+)"

_SCHEMES_OF_AUTHORIZATION = r"\b(?P<mark>(?:bearer|basic|digest)\s+)(?P<value>[\w+/=.~-]{6,})"

_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})

_SECRET_PARTS = (
    r"auth|authorization|bearer|cookies?|cred|creds|credentials?|headers?|jwt|login|nonce|otp|"
    r"pass|passwd|passphrase|passwords?|pin|psk|pw|pwd|secrets?|sess|session|sid|sig|sign|"
    r"signature|streamid|tokens?|user|userid|userinfo|username|usr|"
    r".*(?:apikey|passphrase|password|passwd|secret|token|signature)"
)

_known: dict[str, None] = {}


def redacted(text: str) -> str:
    """`text` in which every secret that can be told is "***"."""
    if _known:
        text = _known_pattern(tuple(_known)).sub(HIDDEN, text)
    if len(text) <= LONGEST:
        return _redacted_by_place(text)
    return "".join(_redacted_by_place(_shortened(line)) for line in text.splitlines(keepends=True))


def _shortened(line: str) -> str:
    """The beginning and the end of a long line, without what the cut would leave of a word: what
    follows takes a time that grows with the square of its length."""
    if len(line) <= LONGEST:
        return line
    half = LONGEST // 2
    first, last = re.sub(r"\S*$", "", line[:half]), re.sub(r"^\S*", "", line[-half:])
    return f"{first} ... {last}"


def _redacted_by_place(text: str) -> str:
    text = _pattern(_USERINFO).sub(rf"\g<scheme>{HIDDEN}@", text)
    if "@" in text:
        text = _pattern(_BARE).sub(f"{HIDDEN}@", text)
    if "=" in text:
        text = _pattern(_QUERY).sub(lambda query: _pattern(_PAIR).sub(_hide_pair, query[0]), text)
    if "=" in text or ":" in text:
        text = _pattern(_KEYED).sub(_hide_keyed, text)
        text = _pattern(_HEADER).sub(_hide_in_header, text)
    return _pattern(_SCHEMES_OF_AUTHORIZATION).sub(rf"\g<mark>{HIDDEN}", text)


def remember_secret(value: str) -> None:
    """Hide this text from now on, wherever and in whatever form it stands."""
    import json
    from urllib.parse import quote, unquote

    # Case is ignored where a secret is sought, but "İ" becomes two characters in lower case.
    for known in {value, value.strip(), unquote(value), value.lower()}:
        for form in (
            known,
            quote(known, safe=""),
            quote(known),
            repr(known)[1:-1],
            json.dumps(known)[1:-1],
        ):
            if len(form) >= SHORTEST:
                _known[form] = None


def remember_secrets_of(address: str, options: Mapping[str, str] | None = None) -> None:
    """Hide what stands at the secret places of an address or a pipeline, and of its options.

    Raises:
        ValueError: one is longer than any, and looking for secrets in it would take minutes.
    """
    if len(address) > LONGEST:
        raise ValueError(f"has {len(address)} characters: an address has at most {LONGEST}")
    for value in _secrets_in(address):
        remember_secret(value)
    for key, value in (options or {}).items():
        if is_secret(key):
            remember_secret(value)
            for line in value.splitlines():  # of HTTP headers
                remember_secret(line.partition(":")[2].strip())
                remember_secret(line.rpartition(" ")[2])
        else:
            remember_secrets_of(value)


def is_secret(key: str) -> bool:
    """Whether the value of such a key is hidden."""
    parts = re.split(r"[-_.]", key.lower())
    # A key alone is a word of every manual, as in KEY=VALUE; an access key is none.
    named = len(parts) > 1 and parts[-1] == "key"
    return named or any(_pattern(_SECRET_PARTS).fullmatch(part) for part in parts)


def _secrets_in(address: str) -> Iterator[str]:
    """Passwords, and values of queries and keys."""
    for found in _pattern(_USERINFO).finditer(address):
        yield found[0][len(found["scheme"]) : -1].partition(":")[2]
    before, at, _ = address.rpartition("@")
    if at and "://" not in before:
        yield before.partition(":")[2]
    for found in _pattern(_PAIR).finditer(address):  # with blanks and quotes in it, if need be
        plain = len(found["value"]) < WORD and not is_secret(found["key"])
        if not (plain or _harmless(found)):
            yield found["value"]
    for found in _pattern(_KEYED).finditer(address):
        if is_secret(found["key"]) or found["key"].lower() == "key":
            yield found["value"].strip("\"'")


def _harmless(found: re.Match[str]) -> bool:
    plain = re.fullmatch(_PLAIN, found["value"]) is not None
    return _pattern(_HARMLESS).fullmatch(found["key"].lower()) is not None and plain


def _hide_pair(found: re.Match[str]) -> str:
    return found[0] if _harmless(found) else f"{found['mark']}{found['key']}={HIDDEN}"


def _hide_keyed(found: re.Match[str]) -> str:
    secret = is_secret(found["key"])
    return f"{found['key']}{found['mark']}{HIDDEN}" if secret else found[0]


def _hide_in_header(found: re.Match[str]) -> str:
    secret = found["key"].lower() in _HEADERS
    return f"{found['key']}{found['mark']}{HIDDEN}" if secret else found[0]


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@functools.lru_cache(maxsize=1)
def _known_pattern(known: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(known, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
