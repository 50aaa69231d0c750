"""Where events cannot go."""

from __future__ import annotations

from denet.errors import DenetError


class EventError(DenetError):
    """A file or a broker that cannot be used as it is set; the message never has a password."""
