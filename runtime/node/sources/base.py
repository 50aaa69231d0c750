"""The interface of a source, whatever stands behind it."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator

from denet.graph import Modality
from denet.secrets import redacted
from runtime.node.sources.frame import Frame, Item, Pixels, Undecodable


class Source(ABC):
    """Where the frames of one modality come from.

    Attributes:
        modality: of its frames.
        name: for a person and for logs; without secrets.
        live: it is a camera, whose end is a loss. The end of a recording is its end.
        timeout: seconds for which it may wait for data, as far as it limits that.
        doubt: what of its frames is not believed now, for a person; "" if all is.
    """

    timeout = 0.0

    def __init__(self, modality: Modality, name: str, *, live: bool) -> None:
        self.modality = modality
        self.name = name
        self.live = live
        self.doubt = ""
        self._numbers = itertools.count()

    @abstractmethod
    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """Connect, and yield what comes until it ends; may be called again for a new connection.

        It blocks for the next frame. It returns soon after `stop` is set, and lets go of the
        device or connection when the iterator is closed.

        Raises:
            SourceError: there is no connection, or it broke; says why.
        """

    def frame(
        self, time: float, image: Pixels, name: str | None = None, position: float | None = None
    ) -> Frame:
        """The next frame in sequence."""
        return Frame(self.modality, time, image, next(self._numbers), name, position)

    def undecodable(self, time: float, reason: str) -> Undecodable:
        """The next frame in sequence, of which nothing is left but its time."""
        return Undecodable(self.modality, time, redacted(reason), next(self._numbers))
