"""A camera node: sources, health, boxes, engines, gallery and events, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from denet.secrets import redacted
from runtime.closing import Closing
from runtime.gallery import open_gallery
from runtime.node.announcer import Announcer, Sighting
from runtime.node.backlog import Backlog
from runtime.node.boxes.finder import Persons, Surroundings, describe, open_finder
from runtime.node.boxes.homography import read_views
from runtime.node.cutter import Cutter
from runtime.node.embedder import Embedder
from runtime.node.events import open_sinks
from runtime.node.faults import FaultSettings, FaultySource, Truth
from runtime.node.health import Health
from runtime.node.intake import Intake
from runtime.node.metrics import Metrics
from runtime.node.notify import Notify
from runtime.node.server_watch import ServerWatch
from runtime.node.serving import first_serving, load_serving
from runtime.node.settings import NodeSettings
from runtime.node.snapshot import NodeSnapshot
from runtime.node.sources import Feed, Inbox, Synchronizer, open_sources
from runtime.node.stage import Stage
from runtime.node.stage_items import Crop, Moment
from runtime.node.status import StatusPage
from runtime.node.status_snapshot import Matches, status_snapshot
from runtime.node.swap import Swapper
from runtime.node.thresholds import limits
from runtime.node.tracks.followable import check_followable
from runtime.node.tracks.tracks import Tracks
from runtime.node.watchdog import Watchdog
from runtime.node.writable import check_writable

MOMENTS = 4
"""Moments that wait at most for their boxes: old ones are worth less than new ones."""

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
        persons: finds persons; goes before what the configuration says.
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
        persons: Persons | None = None,
        faults: FaultSettings | None = None,
        notify_truth: Callable[[Truth], None] = lambda _truth: None,
        notify: Notify = print,
    ) -> None:
        self.settings = settings
        self.failure = ""
        self._began = time.monotonic()
        self._matches = Matches()
        self._servers: list[StatusPage | Metrics] = []
        notify = _shown(notify)
        self._page: StatusPage | None = None
        with ExitStack() as opened:
            given = open_sources(settings.sources)
            calibration = settings.boxes.calibration
            views = None if calibration is None else read_views(Path(calibration))
            gallery = None
            if settings.gallery is not None:
                gallery = opened.enter_context(open_gallery(settings.gallery.url))
            check_writable(settings.events)
            self._sink = open_sinks(settings.events, settings.name, notify)
            opened.callback(lambda: self._sink.close(CLOSING))
            serving = first_serving(settings, gallery)
            graph = serving.graph
            sources = {m: given[m] for m in graph.modalities if m in given}
            if faults is not None:
                sources = {
                    m: FaultySource(s, faults, notify_truth, graph) for m, s in sources.items()
                }
            preprocess = serving.runtime.bundle.manifest.preprocessing
            announcer = Announcer(settings.name, self._sink, settings.events.embedding, notify)
            self._announcer = announcer
            self._moments: Backlog[Moment] = Backlog(MOMENTS)
            self._crops: Backlog[Crop] = Backlog(settings.batches.waiting)
            self._tracks: Tracks | None = None
            if settings.tracks is not None:
                self._tracks = Tracks(
                    settings.tracks,
                    announcer,
                    (preprocess.width, preprocess.height),
                    serving.likeness,
                    settings.events.embedding,
                    self._matches.add_track,
                )
            singly = settings.tracks is None or settings.tracks.embeddings
            self._embedder = Embedder(
                serving,
                self._crops,
                settings.batches,
                announcer,
                notify,
                # Where people are followed, whom the gallery knows in a track is what is shown.
                self._matches.add if self._tracks is None else _ignore,
                self._tracks,
                singly=singly,
            )
            opened.callback(self._embedder.close)
            ranges = serving.runtime.preprocess.ranges
            around = Surroundings(tuple(sources), views, ranges, settings.model.threads)
            finder = open_finder(settings.boxes, settings.timing.tolerance, persons, around)
            check_followable(settings, finder)
            for line in describe(finder):
                notify(line)
            inbox = Inbox(sources)
            self._feeds = [Feed(source, inbox) for source in sources.values()]
            self._intake = Intake(
                inbox,
                Synchronizer(sources, settings.timing),
                Health(sources, limits(settings, views, serving.runtime.bundle.manifest)),
                self._moments,
                announcer,
                notify,
                settings.drain,
            )
            cutter = Cutter(
                self._moments, self._crops, finder, views, notify, settings.drain, self._tracks
            )
            self._swapper = Swapper(
                None if settings.model.bundle is None else Path(settings.model.bundle),
                lambda: load_serving(settings, gallery),
                self._embedder.offer,
                announcer,
            )
            self._stages = [
                Stage("sources", self._intake.run, self._failed),
                Stage("boxes", cutter.run, self._failed),
                Stage("engines", self._embedder.run, self._failed),
            ]
            # The bundle that runs goes on without it, so it may fail and begin again.
            self._swaps = Stage("bundle", self._swapper.run)
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
        threads = [*self._stages, self._swaps, *(feed.stage for feed in self._feeds)]
        threads += [watch.stage for watch in self._watches]
        threads += self._sink.stages
        return threads + [stage for server in self._servers for stage in server.stages]

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        serving = self._embedder.serving
        self._announcer.notice("started", serving.describe(), serving.space)
        for stage in (*self._stages, self._swaps, *(watch.stage for watch in self._watches)):
            stage.start()
        for feed in self._feeds:
            feed.start()

    def stop(self, *, now: bool = False) -> None:
        """Take in no more frames, and finish those that are under way; does not wait.

        Args:
            now: drop those, too.
        """
        for feed in self._feeds:
            feed.stop()
        self._intake.stop()
        self._swaps.stop()
        self._swapper.stop()
        for watch in self._watches:
            watch.stop()
        if now:
            self._moments.clear()
            self._crops.clear()

    def reload(self) -> None:
        """Load the bundle that is at its path now, in the background."""
        self._swapper.ask()

    def wait(self, timeout: float) -> bool:
        """Whether all is done: the sources have ended, or `stop` was called, and nothing is under
        way any more. Waits for it, at most `timeout` seconds."""
        end = time.monotonic() + timeout
        return all(stage.join(max(0.0, end - time.monotonic())) for stage in self._stages)

    def snapshot(self) -> NodeSnapshot:
        """What the node is doing. Take one about once a second, in one thread: each also sees
        whether a stage is stuck, and renews the status page."""
        self._watchdog.look()
        taken = self._snapshot()
        self._announcer.counted(taken.events)
        if self._page is not None:
            serving, pixels = self._embedder.serving, self._intake.pixels
            self._page.update(
                status_snapshot(self.settings.name, taken, serving, pixels, self._matches.last)
            )
        return taken

    def _snapshot(self) -> NodeSnapshot:
        """The same without the watchdog and the page: for any thread, at any time."""
        embedder = self._embedder
        return NodeSnapshot(
            time=time.time(),
            running=time.monotonic() - self._began,
            assessment=self._intake.assessment,
            frames=self._intake.snapshot(),
            triplets=self._moments.snapshot(),
            crops=self._crops.snapshot(),
            events=self._sink.snapshot(),
            batches=embedder.batches,
            matched=self._matches.count,
            latency=embedder.latencies.snapshot(),
            bundle=redacted(embedder.serving.describe()),
            unmatched=redacted(embedder.unmatched),
            away=redacted(embedder.serving.away),
            swaps=embedder.swaps,
            refused=self._swapper.refused,
            stages=self._watchdog.found,
            tracks=None if self._tracks is None else self._tracks.snapshot(),
            shed={(a.name, b.name): n for (a, b), n in embedder.shed.items()},
        )

    def close(self) -> NodeSnapshot:
        """Stop what still runs, deliver what can be delivered, and let go of everything.

        Returns:
            What it was doing at the end.
        """
        self.stop()
        ended = self.wait(self.settings.drain)
        if not ended:
            self.stop(now=True)
            ended = self.wait(ENDING)
        self._swaps.join(ENDING)
        for watch in self._watches:
            watch.stage.join(ENDING)
        if self._tracks is not None:
            self._tracks.finish()
        self._watchdog.look()  # what failed since the last look is told, too
        self._announcer.notice("stopped", self.failure or "it was asked to")
        self._sink.close(CLOSING)
        taken = self._snapshot()
        if ended:
            self._opened.close()
        return taken

    def _failed(self, stage: str, error: BaseException) -> None:
        """A stage has ended by an error, which is a defect of this program: so does the node."""
        self.failure = redacted(f"{stage}: {type(error).__name__}: {error}")
        self.stop(now=True)


def _ignore(_sighting: Sighting) -> None:
    pass


def _shown(notify: Notify) -> Notify:
    """Tells without secrets."""
    return lambda line: notify(redacted(line))
