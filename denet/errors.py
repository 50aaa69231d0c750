"""The base of every error that a user can cause and mend."""

from __future__ import annotations


class DenetError(ValueError):
    """What was given cannot be used, or what was asked for cannot be had here.

    The message names the file or the value and says what to do; a command line prints it alone.
    """
