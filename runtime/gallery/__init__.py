"""A gallery of known people: enrol embeddings, search for whom a new one shows.

from runtime.gallery import Enrolment, Space, open_gallery

with open_gallery("file:gallery.db", create=True) as gallery:
    gallery.enrol(space, [Enrolment("alice", state, embedding)])
    matches = gallery.search(space, [query], [state])[0]

The names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.gallery.base import Enrolment, Entry, Gallery, Match
    from runtime.gallery.opening import open_gallery
    from runtime.gallery.scores import Scores, read_scores
    from runtime.gallery.space import GalleryError, Space

__all__ = [
    "Enrolment",
    "Entry",
    "Gallery",
    "GalleryError",
    "Match",
    "Scores",
    "Space",
    "open_gallery",
    "read_scores",
]

_HOMES = {
    "Enrolment": "base",
    "Entry": "base",
    "Gallery": "base",
    "GalleryError": "space",
    "Match": "base",
    "Scores": "scores",
    "Space": "space",
    "open_gallery": "opening",
    "read_scores": "scores",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
