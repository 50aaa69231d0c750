"""Watches the bundle, and prepares what replaces it beside the one that runs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from denet.errors import DenetError
from runtime.node.announcer import Announcer
from runtime.node.serving import Serving

INTERVAL = 1.0
"""Seconds between two looks at the bundle. What is found changed must look the same once more
before it is read: a bundle takes a while to be copied."""


class Swapper:
    """A thread's work: see that a bundle was replaced, load the new one, hand it over.

    Args:
        path: of the bundle; a folder or a link to one. None where there is only a server.
        load: makes the bundle at `path` ready; raises if it is not good in any way.
        offer: takes what was made ready.
        announcer: is told of what was refused.
        interval: seconds.
    """

    def __init__(
        self,
        path: Path | None,
        load: Callable[[], Serving],
        offer: Callable[[Serving], None],
        announcer: Announcer,
        interval: float = INTERVAL,
    ) -> None:
        self._path, self._load, self._offer = path, load, offer
        self._announcer, self._interval = announcer, interval
        self._wake = threading.Event()
        self._asked = self._stopped = False
        self._known = self._seen = fingerprint(path)
        self.refused = 0

    def ask(self) -> None:
        """Load what is there now, whether it looks changed or not."""
        self._asked = True
        self._wake.set()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopped = True
        self._wake.set()

    def run(self, beat: Callable[[], None]) -> None:
        """Watch until `stop` is called."""
        while not self._stopped:
            beat()
            self._wake.wait(self._interval)
            self._wake.clear()
            if not self._stopped:
                self.look()

    def look(self) -> None:
        """Load the bundle if it was asked for, or has changed and then stood still."""
        found = fingerprint(self._path)
        settled = found is not None and found == self._seen and found != self._known
        self._seen = found
        asked, self._asked = self._asked, False
        if not (asked or settled):
            return
        self._known = found  # what was refused is not tried again until it changes
        try:
            serving = self._load()
        except Exception as error:  # whatever is wrong with it, the old one goes on
            self.refused += 1
            kind = "" if isinstance(error, DenetError) else f"{type(error).__name__}: "
            self._announcer.notice("swap refused", f"the bundle that runs goes on: {kind}{error}")
            return
        self._offer(serving)


def fingerprint(path: Path | None) -> str | None:
    """Of the names, sizes and times of all files of a folder; None while it is not there."""
    if path is None:
        return None
    digest = hashlib.sha256()
    try:
        root = path.resolve(strict=True)
        digest.update(str(root).encode())
        for file in sorted(root.rglob("*")):
            facts = file.stat()
            digest.update(f"{file}\0{facts.st_ino}\0{facts.st_size}\0{facts.st_mtime_ns}".encode())
    except (OSError, RuntimeError):  # it goes away while it is looked at; a loop of links
        return None
    return digest.hexdigest()
