"""What every gallery does, whatever stands behind it, and what it takes and gives."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.gallery.scores import Scores
from runtime.gallery.space import Space


@dataclass(frozen=True)
class Enrolment:
    """An embedding to keep.

    Attributes:
        identity: of whom it is; any text but the empty one.
        state: the missing state that the sample was in.
        embedding: (dim,) float32, L2-normalized.
        time: of the sample, in seconds since 1970 (UTC).
        source: where the sample is from, for a person.
        metadata: whatever JSON can hold.
    """

    identity: str
    state: State
    embedding: NDArray[np.float32]
    time: float = field(default_factory=time.time)
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What a gallery keeps, but for the embedding.

    Attributes:
        id: of the entry; ids rise, and none is used twice.
        identity, state, time, source, metadata: as enrolled.
        space: what the embedding can be compared with.
    """

    id: int
    identity: str
    state: State
    time: float
    source: str
    metadata: Mapping[str, Any]
    space: Space


@dataclass(frozen=True)
class Match:
    """An identity that was found, by its best entry.

    Attributes:
        identity: who.
        score: what matches are ordered by: -log10 of the false-match rate at which this entry
            still matches, where `Scores` were given; else the cosine.
        cosine: to the entry.
        entry: its id.
        state: of the entry.
    """

    identity: str
    score: float
    cosine: float
    entry: int
    state: State


class Gallery(Protocol):
    """Identities with one or more entries each, all in one `Space`.

    The score of an identity is that of its best entry. A gallery may be called from several
    threads; calls take turns.

    Attributes:
        stale: why what is found may be old: the gallery is elsewhere and cannot be reached; "" if
            it is not.
    """

    @property
    def stale(self) -> str: ...

    def enrol(self, space: Space, enrolments: Sequence[Enrolment]) -> list[int]:
        """Keep all of `enrolments`, or none. When this returns they last: through `kill -9`, and
        where the disk keeps its word through a loss of power.

        Returns:
            The ids of the new entries.

        Raises:
            GalleryError: they cannot be compared with what is there, are no embeddings, or cannot
                be written.
        """

    def search(
        self,
        space: Space,
        embeddings: NDArray[np.float32],
        states: Sequence[State],
        *,
        top: int = 10,
        scores: Scores | None = None,
    ) -> list[list[Match]]:
        """The `top` best identities for each of Q embeddings, the best first; exact.

        Ties go to the greater cosine, then to the earlier entry.

        Args:
            space: of the embeddings.
            embeddings: (Q, dim), L2-normalized.
            states: in which they were made, Q of them.
            top: identities for each, at most.
            scores: compare entries of different states by false-match rate, not by cosine.

        Raises:
            GalleryError: the embeddings cannot be compared with what is there, or `scores` are of
                another space or do not know a state.
        """

    def entries(self, identity: str | None = None) -> list[Entry]:
        """All entries, or those of one identity, in the order of enrolment."""

    def remove(self, identity: str, entry: int | None = None) -> int:
        """Forget an identity with all its entries, or one entry of it.

        Returns:
            How many entries are gone.

        Raises:
            GalleryError: there is no such identity or entry, or it cannot be written.
        """

    def close(self) -> None:
        """Let go of files and memory."""

    def __enter__(self) -> Gallery: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
