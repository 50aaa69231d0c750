"""What commands do with a gallery beyond what a node does: check, copy, and forget for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from runtime.gallery.base import Gallery
from runtime.gallery.database import Holding
from runtime.gallery.rows import EntryRows
from runtime.gallery.space import GalleryError

EVERYWHERE = (
    "events that nodes have sent, in their outboxes and with whoever receives them",
    "pictures and files of embeddings that were enrolled from",
)
"""Where a person may be found whatever the gallery is."""


@dataclass(frozen=True)
class Erased:
    """What became of an identity that was erased.

    Attributes:
        entries: how many are gone.
        overwritten: whether their bytes are out of the gallery's own files, too.
        remains: where the person may still be found, for a person to see to.
    """

    entries: int
    overwritten: bool
    remains: tuple[str, ...]


class ManagedGallery(Gallery, Protocol):
    """A `base.Gallery` as the command line has it."""

    def check(self) -> int:
        """Read all of it and see that nothing in it is damaged; how many entries it has.

        Raises:
            GalleryError: something is.
        """

    def expire(self, before: float) -> int:
        """Forget the entries whose `time` is before this one, in seconds since 1970; how many.

        Raises:
            GalleryError: it cannot be written.
        """

    def erase(self, identity: str) -> Erased:
        """Forget an identity, and see that it is out of the gallery's files as far as that goes.

        Raises:
            GalleryError: there is no such identity, or it cannot be written.
        """

    def whole(self) -> AbstractContextManager[tuple[Holding, Iterator[EntryRows]]]:
        """One state of all that it holds: what it says of its entries, and these.

        Raises:
            GalleryError: it cannot be read, or an entry is damaged.
        """

    def fill(self, like: Holding, rows: Iterable[EntryRows]) -> int:
        """Take all entries of another gallery, with their ids; all or none. How many.

        Args:
            like: what the other says of them.
            rows: all of them, in the order of their ids.

        Raises:
            GalleryError: somebody was enrolled here already, or it cannot be written.
        """

    def __enter__(self) -> ManagedGallery: ...


def filled(found: Holding, like: Holding, name: Path | str) -> Holding:
    """What a gallery says that has got all of another, but for its entries.

    Raises:
        GalleryError: it is not as new.
    """
    if not found.bare:
        raise GalleryError(
            f"{name}: somebody was enrolled already: copy into a gallery that is new"
        )
    return replace(
        found, space=like.space, storage=like.storage, removals=like.removals, last=like.last
    )


def move(source: ManagedGallery, target: ManagedGallery) -> int:
    """Copy all of a gallery into one that is new, and see that it is whole there.

    Ids, times and the bytes of embeddings stay the same, so searches find the same.

    Returns:
        How many entries there are.

    Raises:
        GalleryError: one of them cannot be used, or an entry is damaged; then nothing was copied.
    """
    with source.whole() as (holding, rows):
        count = target.fill(holding, rows)
        if count != holding.count:
            raise GalleryError(f"of {holding.count} entries, {count} were found: see `check`")
    return target.check()


def unknown(name: Path | str, identity: str, entry: int | None) -> GalleryError:
    """What is said of an identity that is not there."""
    which = "" if entry is None else f" with an entry {entry}"
    return GalleryError(
        f"{name}: has no identity {identity!r}{which}: `denet gallery list` shows whom it has"
    )
