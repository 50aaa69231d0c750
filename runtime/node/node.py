"""A camera node: heads, engines, gallery and events, put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from denet.secrets import redacted
from runtime.closing import Closing
from runtime.gallery import open_gallery
from runtime.node.announcer import Announcer
from runtime.node.boxes.finder import Persons
from runtime.node.embedder import Embedder
from runtime.node.events import open_sinks
from runtime.node.fair_queue import FairQueue
from runtime.node.faults import FaultSettings, Truth
from runtime.node.head.opening import HeadOpener, look_at_heads
from runtime.node.matches import Matches
from runtime.node.metrics import Metrics
from runtime.node.notify import Notify
from runtime.node.server_watch import ServerWatch
from runtime.node.serving import first_serving, load_serving
from runtime.node.settings import NodeSettings
from runtime.node.snapshot import NodeSnapshot
from runtime.node.stage import POLL, Beat, Stage
from runtime.node.stage_items import Crop
from runtime.node.status import StatusPage
from runtime.node.status.strip import PeopleStrip
from runtime.node.status_snapshot import status_snapshot
from runtime.node.swap import Swapper
from runtime.node.watchdog import Watchdog
from runtime.node.writable import check_writable

CLOSING = 5.0
"""Seconds in which events may still be delivered at the end."""

ENDING = 2.0
"""Seconds in which a stage must end that has nothing to do any more."""


class Node(Closing):
    """Runs until its sources end or it is stopped.

    In a program::

        node = Node(read_settings(Path("node.toml")), persons=find)
        node.start()
        while not node.wait(1.0):
            print(node.snapshot().facts())  # as --json
        node.close()

    Args:
        settings: the configuration.
        persons: finds persons; goes before what the configuration says. Of several heads by their
            names; one function for all of them is called in a thread of each.
        faults: to be made on purpose; None for none.
        notify_truth: told of each fault that is made, and of each frame without one.
        notify: told of what happens, in any thread.

    Raises:
        DenetError: something that is set cannot be had; names it. Nothing is left open.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        persons: Persons | Mapping[str, Persons] | None = None,
        faults: FaultSettings | None = None,
        notify_truth: Callable[[Truth], None] = lambda _truth: None,
        notify: Notify = print,
    ) -> None:
        self.settings = settings
        self.failure = ""
        self._asked = False
        self._began = time.monotonic()
        self._matches = Matches()
        self._servers: list[StatusPage | Metrics] = []
        notify = _shown(notify)
        self._page: StatusPage | None = None
        self._strip: PeopleStrip | None = None
        with ExitStack() as opened:
            looked = look_at_heads(settings)
            gallery = None
            if settings.gallery is not None:
                gallery = opened.enter_context(open_gallery(settings.gallery.url))
            check_writable(settings.events)
            self._sink = open_sinks(settings.events, settings.name, notify)
            opened.callback(lambda: self._sink.close(CLOSING))
            serving = first_serving(settings, gallery)
            announcer = Announcer(settings.name, self._sink, settings.events.embedding, notify)
            self._announcer = announcer
            names = [head.name for head in settings.camera_heads]
            self._crops: FairQueue[Crop] = FairQueue(names, settings.batches.waiting)
            opener = HeadOpener(
                settings, serving, announcer, self._crops, self._matches, notify, self._failed
            )
            if settings.status is not None and settings.status.people:
                opener.strip = self._strip = PeopleStrip(settings.status.people)
            opener.faults, opener.notify_truth, opener.persons = faults, notify_truth, persons
            try:
                self._heads = [opener.open(each) for each in looked]
            except BaseException:
                serving.close()
                raise
            self._embedder = Embedder(
                serving,
                self._crops,
                settings.batches,
                announcer,
                notify,
                {head.name: head.output for head in self._heads},
            )
            opened.callback(self._embedder.close)
            self._swapper = Swapper(
                None if settings.model.bundle is None else Path(settings.model.bundle),
                lambda: load_serving(settings, gallery),
                self._embedder.offer,
                announcer,
            )
            self._engines = Stage("engines", self._embedder.run, self._failed)
            # The bundle that runs goes on without it, so it may fail and begin again.
            self._swaps = Stage("bundle", self._swapper.run)
            self._others = [self._swaps]
            if settings.heads:
                self._others.append(Stage("heads", self._tend))
            self._watches = []
            if settings.model.server is not None:
                server = settings.model.server
                self._watches += [ServerWatch(settings, server, gallery, self._embedder, notify)]
            self._watchdog = Watchdog(lambda: self.stages, settings.watchdog, announcer.notice)
            if settings.metrics is not None:
                self.metrics = Metrics(settings.metrics, self._snapshot)
                opened.callback(self.metrics.close)
                self._servers.append(self.metrics)
            if settings.status is not None:
                self._page = StatusPage(settings.status)
                self._page.start()
                opened.callback(self._page.close)
                self._servers.append(self._page)
            self._opened = opened.pop_all()

    @property
    def status_url(self) -> str:
        """Where the status page is; "" where there is none."""
        return "" if self._page is None else self._page.url

    @property
    def stages(self) -> list[Stage]:
        """All threads of the node."""
        threads = [stage for head in self._heads for stage in head.stages]
        threads += [self._engines, *self._others]
        threads += [watch.stage for watch in self._watches]
        threads += self._sink.stages
        return threads + [stage for server in self._servers for stage in server.stages]

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        serving = self._embedder.serving
        self._announcer.notice("started", serving.describe(), serving.space)
        self._engines.start()
        for head in self._heads:
            head.start()
        for stage in (*self._others, *(watch.stage for watch in self._watches)):
            stage.start()

    def stop(self, *, now: bool = False) -> None:
        """Take in no more frames, and finish those that are under way; does not wait.

        Args:
            now: drop those, too.
        """
        self._asked = True
        for head in self._heads:
            head.stop(now=now)
        self._swaps.stop()
        self._swapper.stop()
        for watch in self._watches:
            watch.stop()
        if now:
            self._crops.clear()

    def reload(self) -> None:
        """Load the bundle that is at its path now, in the background."""
        self._swapper.ask()

    def wait(self, timeout: float) -> bool:
        """Whether all is done: the sources have ended, or `stop` was called, and nothing is under
        way any more. Waits for it, at most `timeout` seconds."""
        end = time.monotonic() + timeout
        over = all(head.join(max(0.0, end - time.monotonic())) for head in self._heads)
        return over and self._engines.join(max(0.0, end - time.monotonic()))

    def snapshot(self) -> NodeSnapshot:
        """What the node is doing. Take one about once a second, in one thread: each also sees
        whether a stage is stuck, and renews the status page."""
        self._watchdog.look()
        taken = self._snapshot()
        self._announcer.counted(taken.events)
        if self._page is not None:
            serving, last = self._embedder.serving, self._matches.last
            name, strip = self.settings.name, self._strip
            self._page.update(status_snapshot(name, taken, serving, last, strip))
        return taken

    def _snapshot(self) -> NodeSnapshot:
        """The same without the watchdog and the page: for any thread, at any time."""
        embedder = self._embedder
        return NodeSnapshot(
            time=time.time(),
            running=time.monotonic() - self._began,
            heads=[head.snapshot() for head in self._heads],
            events=self._sink.snapshot(),
            batches=embedder.batches,
            latency=embedder.latencies.snapshot(),
            bundle=redacted(embedder.serving.describe()),
            unmatched=redacted(embedder.unmatched),
            away=redacted(embedder.serving.away),
            swaps=embedder.swaps,
            refused=self._swapper.refused,
            stages=self._watchdog.found,
        )

    def close(self) -> NodeSnapshot:
        """Stop what still runs, deliver what can be delivered, and let go of everything.

        Returns:
            What it was doing at the end.
        """
        over = not self._asked and all(head.over for head in self._heads)
        self.stop()
        ended = self.wait(self.settings.drain)
        if not ended:
            self.stop(now=True)
            ended = self.wait(ENDING)
        for stage in self._others:
            stage.join(ENDING)
        for watch in self._watches:
            watch.stage.join(ENDING)
        for head in self._heads:
            head.finish()
        self._watchdog.look()  # what failed since the last look is told, too
        self._announcer.notice("stopped", self.failure or _why(over))
        self._sink.close(CLOSING)
        taken = self._snapshot()
        if ended:
            self._opened.close()
        return taken

    def _tend(self, beat: Beat) -> None:
        """Begin heads anew that a defect has ended, until all are over."""
        while not all(head.over for head in self._heads):
            beat()
            for head in self._heads:
                head.tend()
            time.sleep(POLL)

    def _failed(self, stage: str, error: BaseException) -> None:
        """A stage that all need has ended by an error, which is a defect of this program: so does
        the node."""
        self.failure = redacted(f"{stage}: {type(error).__name__}: {error}")
        self.stop(now=True)


def _why(over: bool) -> str:
    return "all sources have ended" if over else "it was asked to"


def _shown(notify: Notify) -> Notify:
    """Tells without secrets."""
    return lambda line: notify(redacted(line))
