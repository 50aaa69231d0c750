"""Where the threads of all sources leave what they have, and one consumer takes it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Union

from denet.graph import Modality
from runtime.node.sources.frame import Item, Notice

DEPTH = 4
"""Frames that wait for each modality: enough for a consumer that is busy with one batch."""


class Inbox:
    """A short queue for each modality in which the newest win, and all notices.

    Nobody waits to put something in, so a slow consumer never holds up a decoder, and a fast
    source never pushes out another's frames.

    Attributes:
        modalities: whose frames it takes.
        received: how many frames were put in, by modality.
        overrun: how many of them were pushed out by newer ones before they were taken.
    """

    def __init__(self, modalities: Iterable[Modality], depth: int = DEPTH) -> None:
        self._frames: dict[Modality, deque[Item]] = {m: deque(maxlen=depth) for m in modalities}
        self.modalities = tuple(self._frames)
        self._notices: deque[Notice] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.received: Counter[Modality] = Counter()
        self.overrun: Counter[Modality] = Counter()

    def put(self, item: Item) -> None:
        """Leave a frame; the oldest of its modality goes if there are too many."""
        queue = self._frames[item.modality]
        with self._changed:
            if self._closed:
                return
            self.received[item.modality] += 1
            self.overrun[item.modality] += len(queue) == queue.maxlen
            queue.append(item)
            self._changed.notify()

    def close(self) -> None:
        """Take in no more frames: what comes now comes after the end."""
        with self._changed:
            self._closed = True

    def notify(self, notice: Notice) -> None:
        """Leave a notice; none is ever lost."""
        with self._changed:
            self._notices.append(notice)
            self._changed.notify()

    def wait(self, timeout: float) -> bool:
        """Whether something is there; waits for it as long as `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(self._filled, timeout)

    def counts(self) -> tuple[Counter[Modality], Counter[Modality], Counter[Modality]]:
        """At one moment and by modality: frames received, overrun, and not taken yet."""
        with self._changed:
            waiting = Counter({m: len(queue) for m, queue in self._frames.items()})
            return self.received.copy(), self.overrun.copy(), waiting

    def take(self, timeout: float) -> list[Union[Item, Notice]]:
        """All that is there, notices first, frames in the order of their capture.

        Args:
            timeout: seconds to wait for something to be there.
        """
        with self._changed:
            self._changed.wait_for(self._filled, timeout)
            notices = list(self._notices)
            frames = [item for queue in self._frames.values() for item in queue]
            self._notices.clear()
            for queue in self._frames.values():
                queue.clear()
        return [*notices, *sorted(frames, key=lambda item: item.time)]

    def _filled(self) -> bool:
        return bool(self._notices) or any(self._frames.values())
