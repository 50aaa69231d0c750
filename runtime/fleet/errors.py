"""What keeps a fleet's archive from working."""

from __future__ import annotations

from denet.errors import DenetError


class FleetError(DenetError):
    """A setting, a broker, a database or a question that cannot be worked with; the message never
    has a password."""
