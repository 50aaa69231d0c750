"""What a command that runs on prints of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from denet.console import say


class RunningFacts(Protocol):
    """What a process has done so far."""

    def facts(self) -> dict[str, Any]:
        """For a program."""

    def line(self) -> str:
        """For a person."""


def printed(*, as_json: bool) -> Callable[[RunningFacts], None]:
    """What prints a process each time that it is called: JSON, or a line where that has changed."""
    before = ""

    def tell(found: RunningFacts) -> None:
        nonlocal before
        if as_json:
            print(json.dumps(found.facts()), flush=True)
        elif (line := found.line()) != before:
            before = line
            say(line)

    return tell
