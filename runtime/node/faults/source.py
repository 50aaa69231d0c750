"""A source with faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from denet.graph import RGB_NIR_TIR, Graph
from runtime.node.faults.injector import FaultSettings, Injector, Truth
from runtime.node.sources.base import Source
from runtime.node.sources.frame import Item


class FaultySource(Source):
    """Another source, some of whose frames are damaged, withheld or dated wrongly."""

    def __init__(
        self,
        source: Source,
        settings: FaultSettings,
        notify: Callable[[Truth], None],
        graph: Graph = RGB_NIR_TIR,
    ) -> None:
        """Wrap a source.

        Args:
            source: where the frames come from.
            settings: which faults, and how often.
            notify: is told the truth of every frame, in the thread of the source, before the
                frame goes on.
            graph: that has the modality of the source.
        """
        super().__init__(source.modality, f"{source.name} with faults", live=source.live)
        self._source, self._notify = source, notify
        self.timeout = source.timeout
        self._injector = Injector(source.modality, settings, graph)

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`."""
        for item in self._source.frames(stop):
            self.doubt = self._source.doubt
            seen, truth = self._injector(item)
            self._notify(truth)
            if seen is not None:
                yield seen
