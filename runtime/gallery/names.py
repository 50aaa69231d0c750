"""Names of identities: one spelling for each."""

from __future__ import annotations

from unicodedata import normalize

from runtime.gallery.space import GalleryError

LONGEST = 256
"""Characters of a name."""


def spelled(name: str) -> str:
    """A name as a gallery keeps it: the same for all ways to write the same characters (Unicode's
    NFC). An accent may be a character of its own, as in names of files from macOS."""
    return normalize("NFC", name)


def checked_name(name: str) -> str:
    """A name that may be enrolled, as a gallery keeps it.

    Raises:
        GalleryError: it is none.
    """
    text = spelled(name)
    shown = ascii(text[:40]) if len(text) > LONGEST else repr(text)
    if not text.strip() or not text.isprintable():
        raise GalleryError(f"identity {shown}: give a name of printable characters")
    if text != text.strip():
        raise GalleryError(f"identity {shown}: leave out the space around the name")
    if len(text) > LONGEST:
        raise GalleryError(f"identity {shown}...: give a name of at most {LONGEST} characters")
    return text
