"""Where the threads of sources leave frames."""

from __future__ import annotations

from runtime.node.sources import (
    Inbox,
    Notice,
)
from tests.runtime.node.sources.parts import frame


def test_the_newest_frames_win_and_the_others_are_counted() -> None:
    inbox = Inbox(["rgb", "tir"], depth=3)
    inbox.put(frame("tir", 5.5))
    for i in range(10):
        inbox.put(frame("rgb", float(i), i))
    inbox.notify(Notice("rgb", 0.0, "lost", ""))
    notice, *frames = inbox.take(0)
    assert isinstance(notice, Notice)
    assert [x.time for x in frames] == [5.5, 7.0, 8.0, 9.0]
    assert inbox.received == {"rgb": 10, "tir": 1}
    assert inbox.overrun == {"rgb": 7, "tir": 0}
    assert inbox.take(0) == []
