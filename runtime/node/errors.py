"""What keeps a node from running."""

from __future__ import annotations

from denet.errors import DenetError


class NodeError(DenetError):
    """A setting or a file that a node cannot work with; the message never has a password."""
