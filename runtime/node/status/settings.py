"""Where the status page is, if it is anywhere."""

from __future__ import annotations

from typing import Annotated

import msgspec

from denet.errors import DenetError


class StatusError(DenetError):
    """A page that cannot be shown where it is asked for."""


class StatusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A page for a person, on this machine alone unless `host` says otherwise.

    Attributes:
        port: of it; 0 for any that is free.
        host: the address that it listens on, or a name; never empty. It shows pictures of people
            and asks nobody for a password: from elsewhere, tunnel to it.
        people: so many of those who were followed last are shown with a picture, which is kept in
            memory; 0 for none.
    """

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8321
    host: str = "127.0.0.1"
    people: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
