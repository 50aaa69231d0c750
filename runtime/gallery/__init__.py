"""A gallery of known people: enrol embeddings, search for whom a new one shows.

from runtime.gallery import Enrolment, Space, open_gallery

with open_gallery("file:gallery.db", create=True) as gallery:
    gallery.enrol(space, [Enrolment("alice", state, embedding)])
    matches = gallery.search(space, [query], [state])[0]
"""

from __future__ import annotations

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
