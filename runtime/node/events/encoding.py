"""An event as JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from runtime.node.events.errors import EventError
from runtime.node.events.event import Event


def encode(event: Event) -> bytes:
    """One line, without its end.

    Raises:
        EventError: something in it has no form in JSON.
    """
    try:
        return _ENCODER.encode(event)
    except (TypeError, ValueError, OverflowError) as error:
        raise EventError(f"no form in JSON: {error}") from None


def _plain(value: Any) -> Any:
    # Numbers that were computed with numpy look like Python's to whoever made the event.
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in an event")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
