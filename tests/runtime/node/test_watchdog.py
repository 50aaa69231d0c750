"""Stages that fail or are stuck, and systemd."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.node.stage import Stage
from runtime.node.watchdog import Watchdog, notify_systemd


def test_a_stage_that_fails_or_is_stuck_is_noticed() -> None:
    now = 0.0
    failures: list[tuple[str, str]] = []
    go, on = threading.Event(), threading.Event()

    def body(beat: Callable[[], None]) -> None:
        beat()
        on.set()
        go.wait(5.0)
        raise ValueError("a defect")

    stage = Stage("boxes", body, lambda s, e: failures.append((s, str(e))), clock=lambda: now)
    said: list[str] = []
    watchdog = Watchdog(
        lambda: [stage], 10.0, lambda kind, text: said.append(f"{kind}: {text}"), lambda: now
    )
    stage.start()
    on.wait(5.0)
    watchdog.look()
    assert not watchdog.stuck
    now = 12.0
    watchdog.look()
    watchdog.look()
    assert watchdog.stuck
    assert said == ["stage stuck: boxes: no progress for 12 s"]
    go.set()
    assert stage.join(5.0)
    assert failures == [("boxes", "a defect")]
    watchdog.look()
    assert [line.split(": ")[0] for line in said[1:]] == ["stage failed", "stage goes on"]
    assert "boxes: ValueError: a defect" in said[1]


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_by_a_datagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_systemd("READY=1")
    name = f"\0denet-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name)
        receiver.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        assert notify_systemd("WATCHDOG=1")
        assert receiver.recv(100) == b"WATCHDOG=1"
    if not abstract:
        (tmp_path / "notify").unlink()
    assert not notify_systemd("WATCHDOG=1")
