"""A gallery of known people: enrol embeddings, search for whom a new one shows.

from runtime.gallery import Enrolment, Space, open_gallery

with open_gallery("file:gallery.db", create=True) as gallery:
    gallery.enrol(space, [Enrolment("alice", state, embedding)])
    matches = gallery.search(space, [query], [state])[0]

The names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from runtime.gallery.base import Enrolment, Entry, Gallery, Match
    from runtime.gallery.opening import open_gallery
    from runtime.gallery.scores import Scores, carried_scores, read_scores
    from runtime.gallery.space import GalleryError, Space

__all__ = [
    "Enrolment",
    "Entry",
    "Gallery",
    "GalleryError",
    "Match",
    "Scores",
    "Space",
    "carried_scores",
    "open_gallery",
    "read_scores",
]

__getattr__ = lazy(
    __name__,
    {
        "Enrolment": "runtime.gallery.base",
        "Entry": "runtime.gallery.base",
        "Gallery": "runtime.gallery.base",
        "GalleryError": "runtime.gallery.space",
        "Match": "runtime.gallery.base",
        "Scores": "runtime.gallery.scores",
        "Space": "runtime.gallery.space",
        "carried_scores": "runtime.gallery.scores",
        "open_gallery": "runtime.gallery.opening",
        "read_scores": "runtime.gallery.scores",
    },
)
