"""The error of graphs that a user can mend."""

from __future__ import annotations

from denet.errors import DenetError


class GraphsError(DenetError):
    """Graphs that cannot be made or written; the message names what is in the way."""
