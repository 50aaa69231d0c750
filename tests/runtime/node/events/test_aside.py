"""`denet node aside`: what a person sees of events that were set aside, and does with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.node.events.outbox import Outbox
from tests.command import denet


@contextmanager
def outbox(folder: Path) -> Iterator[Outbox]:
    opened = Outbox(folder / "outbox.db", 2_000_000)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(
        'name = "a"\n[model]\nbundle = "b"\n[sources.rgb]\nurl = "rtsp://cam/live"\n'
        f'[events.mqtt]\nurl = "mqtt://broker"\noutbox = "{tmp_path / "outbox.db"}"\n'
    )
    with outbox(tmp_path) as made:
        made.add([("topic", bytes(size)) for size in (10, 5000, 20)])
        made.put_aside(made.claim(2)[1].number, "connection lost: packet too large")
    return path


def test_what_is_set_aside_is_shown_and_sent_again(config: Path, tmp_path: Path) -> None:
    done = denet("node", "aside", config)
    assert done.exit_code == 0, done.output
    first, last = done.stdout.splitlines()
    assert first.endswith("5005 bytes  connection lost: packet too large")
    assert last == "1 events are set aside, 2 others wait"
    done = denet("node", "aside", config, "--retry")
    assert "1 events are sent again" in done.stdout
    with outbox(tmp_path) as found:
        assert [len(letter.body) for letter in found.claim(10)] == [10, 5000, 20]


def test_what_is_set_aside_can_be_dropped(config: Path, tmp_path: Path) -> None:
    assert "1 events are removed" in denet("node", "aside", config, "--drop").stdout
    with outbox(tmp_path) as found:
        assert [len(letter.body) for letter in found.claim(10)] == [10, 20]


def test_what_cannot_be_shown_is_one_line(config: Path, tmp_path: Path) -> None:
    def refused(told: str, *options: str) -> None:
        done = denet("node", "aside", config, *options)
        assert done.exit_code == 2
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1

    refused("exclude each other", "--retry", "--drop")
    with outbox(tmp_path):
        refused("a node uses it: stop that one")
    (tmp_path / "outbox.db").unlink()
    refused("there is no outbox")
    assert not (tmp_path / "outbox.db").exists()
    text = config.read_text()
    config.write_text(text[: text.index("[events.mqtt]")])
    refused("there is no [events.mqtt]")
