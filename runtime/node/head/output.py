"""Where the stage of the engines, which is the node's, leaves what it made of a head's crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from denet.graph import State
from runtime.node.announcer import Announcer, Sighting
from runtime.node.latency import Latencies
from runtime.node.tracks.tracks import Tracks


@dataclass(eq=False)
class HeadOutput:
    """What becomes of the embeddings of a head.

    Attributes:
        announcer: of the head.
        notify_sighting: told of each embedding that is told singly.
        tracks: is given what is embedded; None where each crop stands alone. Exchanged where a
            head begins anew.
        singly: whether each embedding is matched and told.
        latencies: from capture to event.
        shed: crops that were embedded in another state than was healthy, by both.
        failed: told of a defect of the tracks, which ends the head; None where it ends the node.
    """

    announcer: Announcer
    notify_sighting: Callable[[Sighting], None]
    tracks: Tracks | None = None
    singly: bool = True
    latencies: Latencies = field(default_factory=Latencies)
    shed: Counter[tuple[State, State]] = field(default_factory=Counter)
    failed: Callable[[BaseException], None] | None = None

    @contextmanager
    def contained(self) -> Iterator[None]:
        """A defect of the tracks costs the other heads of a batch nothing."""
        try:
            yield
        except Exception as error:
            if self.failed is None:
                raise
            self.failed(error)
