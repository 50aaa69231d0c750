"""Where a gallery in PostgreSQL is, as whom to connect, and how it is searched: the setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from runtime.gallery.space import GalleryError
from runtime.postgres import address
from runtime.postgres.address import Address

Search = Literal["mirror", "database", "approximate"]


@dataclass(frozen=True, repr=False)
class GalleryAddress(Address):
    """A gallery in PostgreSQL.

    Attributes:
        search: in a copy in memory, in the database, or there by an index that may miss somebody.
    """

    search: Search = "mirror"


def remember_secrets_in(setting: str) -> None:
    """Keep out of messages what may be a secret in the setting of a gallery, of whichever kind."""
    address.remember_secrets_in(setting, ["search"])


def read_address(setting: str) -> GalleryAddress:
    """The address that a setting names.

    Args:
        setting: "postgresql://USER@HOST:PORT/DATABASE?search=mirror&password_file=PATH".

    Raises:
        GalleryError: it names none, or its password cannot be read.
    """
    found, options = address.read_address(setting, GalleryError, schema="denet", more=["search"])
    search = options.get("search", "mirror")
    known = next((way for way in get_args(Search) if way == search), None)
    if known is None:
        raise GalleryError(f"search={search}: choose from {', '.join(get_args(Search))}")
    return GalleryAddress(**vars(found), search=known)
