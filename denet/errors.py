"""The base of every error that a user can cause and mend."""

from __future__ import annotations

from denet.secrets import redacted


class DenetError(ValueError):
    """What was given cannot be used, or what was asked for cannot be had here.

    The message names the file or the value and says what to do; a command line prints it alone.
    Secrets in it are hidden, whoever prints it.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(redacted(str(message)))
