"""The error of a profile that a user can mend."""

from __future__ import annotations

from denet.errors import DenetError


class ProfileError(DenetError):
    """What was asked cannot be profiled or written; the message names it."""
