"""Frames from recordings and cameras: decoded in threads, dated, and matched in time.

from runtime.node.sources import Feed, Inbox, SourceSettings, Synchronizer, open_sources

sources = open_sources({"rgb": SourceSettings(url="rtsp://..."), "tir": ...})
inbox, synchronizer = Inbox(sources), Synchronizer(sources)
for source in sources.values():
    Feed(source, inbox).start()
while True:
    for item in inbox.take(timeout=0.1):
        ...  # a Notice: a source was lost, or runs again
        synchronizer.push(item, time.monotonic())
    for triplet in synchronizer.poll(time.monotonic()):
        ...
"""

from __future__ import annotations

from runtime.node.sources.base import Source
from runtime.node.sources.feed import Feed
from runtime.node.sources.frame import Frame, Item, Notice, SourceError, Undecodable
from runtime.node.sources.inbox import Inbox
from runtime.node.sources.settings import SourceSettings, open_source, open_sources
from runtime.node.sources.synchronizer import Synchronizer
from runtime.node.sources.track import TrackTiming
from runtime.node.sources.triplet import Absence, Triplet

__all__ = [
    "Absence",
    "Feed",
    "Frame",
    "Inbox",
    "Item",
    "Notice",
    "Source",
    "SourceError",
    "SourceSettings",
    "Synchronizer",
    "TrackTiming",
    "Triplet",
    "Undecodable",
    "open_source",
    "open_sources",
]
