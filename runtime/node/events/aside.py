"""What a person sees of events that were set aside, and does with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from runtime.node.events.errors import EventError
from runtime.node.events.outbox import Outbox
from runtime.node.events.settings import EventSettings


def list_aside(settings: EventSettings) -> list[str]:
    """A line for each event that is set aside, the oldest first, and one that counts them.

    Raises:
        EventError: there is no outbox, or it is in use.
    """
    with _opened(settings) as outbox:
        found = outbox.aside()
        waiting = outbox.waiting
    lines = [
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(each.time))}  "
        f"{each.size} bytes  {each.reason}"
        for each in found
    ]
    return [*lines, f"{len(found)} events are set aside, {waiting} others wait"]


def empty_aside(settings: EventSettings, *, retry: bool, drop: bool) -> str:
    """Have the next run send what is set aside, or remove it: what was done, for a person.

    Raises:
        EventError: there is no outbox, or it is in use; or both are asked for.
    """
    if retry and drop:
        raise EventError("--retry and --drop exclude each other: give one")
    with _opened(settings) as outbox:
        count = outbox.set_aside
        outbox.empty_aside(drop=drop)
    return f"{count} events are {'removed' if drop else 'sent again by the next run'}"


@contextmanager
def _opened(settings: EventSettings) -> Iterator[Outbox]:
    if settings.mqtt is None:
        raise EventError("there is no [events.mqtt]: only events to a broker are set aside")
    path = Path(settings.mqtt.outbox)
    if not path.is_file():
        raise EventError(f"{path}: there is no outbox: the node has not run yet")
    with closing(Outbox(path, settings.mqtt.outbox_bytes)) as outbox:
        yield outbox
