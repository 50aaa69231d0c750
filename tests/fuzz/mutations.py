"""Ways to damage a file: what disks, transfers, editors and ill will do to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

TOKENS = (
    b"",
    b"0",
    b"-1",
    b"nan",
    b"NaN",
    b"inf",
    b"-Infinity",
    b"1e999",
    b"1e-320",
    b"9" * 5000,
    b"18446744073709551616",
    b"true",
    b"null",
    b"{}",
    b"[]",
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b"[" * 2000,
    b'{"a":' * 2000,
    b"a." * 2000 + b"a = 1\n",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"[/b]",
    b"../" * 20,
    b"x" * 70_000,
)
"""What parsers stumble over, in place of a word or a number."""

EDGES = tuple(
    value.to_bytes(size, order, signed=value < 0)
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, (1 << (8 * size - 1)) - 1, -(1 << (8 * size - 1)))
    for order in ("little", "big")
)
"""Numbers of a binary format at the edges of their ranges."""

WORDS = re.compile(rb"-?[0-9][0-9.eE+-]*|[A-Za-z_]+|[\[\]{}:,=\"]")

Mutation = Callable[[bytes], bytes]


def _at(content: bytes, place: float) -> int:
    return int(place * len(content))


def flip(place: float, bit: int) -> Mutation:
    """One bit."""

    def apply(content: bytes) -> bytes:
        if not content:
            return content
        i = min(_at(content, place), len(content) - 1)
        return content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :]

    return apply


def overwrite(place: float, new: bytes) -> Mutation:
    """Some bytes by as many others."""

    def apply(content: bytes) -> bytes:
        i = _at(content, place)
        return (content[:i] + new + content[i + len(new) :])[: max(len(content), i + len(new))]

    return apply


def insert(place: float, new: bytes) -> Mutation:
    """Bytes that were not there."""
    return lambda content: content[: _at(content, place)] + new + content[_at(content, place) :]


def cut(start: float, length: float) -> Mutation:
    """A part is gone."""

    def apply(content: bytes) -> bytes:
        i = _at(content, start)
        return content[:i] + content[i + 1 + _at(content, length * length) :]

    return apply


def end(place: float) -> Mutation:
    """All that follows is gone, as after a full disk."""
    return lambda content: content[: _at(content, place)]


def zero(start: float, length: float) -> Mutation:
    """A hole of zeros, as after a loss of power."""

    def apply(content: bytes) -> bytes:
        i = _at(content, start)
        size = min(1 + _at(content, length * length), len(content) - i)
        return content[:i] + bytes(size) + content[i + size :]

    return apply


def repeat(start: float, length: float) -> Mutation:
    """A part twice."""

    def apply(content: bytes) -> bytes:
        i = _at(content, start)
        j = i + 1 + _at(content, length * length)
        return content[:j] + content[i:j] + content[j:]

    return apply


def reword(place: float, new: bytes) -> Mutation:
    """A number, word or bracket by another."""

    def apply(content: bytes) -> bytes:
        words = list(WORDS.finditer(content[: 1 << 16]))
        if not words:
            return content
        word = words[min(int(place * len(words)), len(words) - 1)]
        return content[: word.start()] + new + content[word.end() :]

    return apply


def replace(new: bytes) -> Mutation:
    """Another file in its place."""
    return lambda _: new


places = st.floats(0, 1, exclude_max=True)


def mutations(samples: Sequence[bytes]) -> st.SearchStrategy[Mutation]:
    """One way to damage a file.

    Args:
        samples: other files, one of which may come in its place.
    """
    edges = st.sampled_from(EDGES)
    return st.one_of(
        st.builds(flip, places, st.integers(0, 7)),
        st.builds(overwrite, places, edges | st.binary(min_size=1, max_size=16)),
        st.builds(insert, places, edges | st.binary(min_size=1, max_size=16)),
        st.builds(cut, places, places),
        st.builds(end, places),
        st.builds(zero, places, places),
        st.builds(repeat, places, places),
        st.builds(reword, places, st.sampled_from(TOKENS)),
        st.builds(reword, places, st.sampled_from(TOKENS)),
        st.builds(replace, st.sampled_from([b"", *samples]) | st.binary(max_size=200)),
    )


@dataclass(frozen=True)
class Damaged:
    """A file and what befell it: hypothesis keeps all that it drew, and ten thousand copies of a
    checkpoint would be 40 GB.

    Attributes:
        whole: the file.
        mutations: that it goes through.
    """

    whole: bytes = field(repr=False)
    mutations: tuple[Mutation, ...]

    def content(self) -> bytes:
        """What is left of the file."""
        content = self.whole
        for mutate in self.mutations:
            content = mutate(content)
        return content


def damaged(samples: Sequence[bytes]) -> st.SearchStrategy[Damaged]:
    """One of the samples, with one to four mutations."""
    several = st.lists(mutations(samples), min_size=1, max_size=4).map(tuple)
    return st.builds(Damaged, st.sampled_from(samples), several)
