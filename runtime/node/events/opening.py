"""Opens what is set."""

from __future__ import annotations

from contextlib import suppress

from denet.packages import absent, broken
from denet.secrets import redacted
from runtime.node.events.errors import EventError
from runtime.node.events.fanout import Fanout
from runtime.node.events.lines import LinesSink
from runtime.node.events.settings import EventSettings, MqttSettings
from runtime.node.events.sink import Sink
from runtime.node.notify import Notify


def open_sinks(settings: EventSettings, node_name: str, notify: Notify = print) -> Sink:
    """One sink for all that is set; it may be none.

    A broker that is away is waited for in the background. One that is there and refuses is an
    error.

    Args:
        settings: where events go.
        node_name: whose events; part of topics and of the client's id.
        notify: told once of each change, such as a broker lost or a disk full.

    Raises:
        EventError: a file or a broker cannot be used; names it.
    """

    def notify_safely(line: str) -> None:
        with suppress(Exception):  # who listens must not end a sink's thread
            notify(redacted(line))

    sinks: list[Sink] = []
    try:
        if settings.lines is not None:
            sinks.append(LinesSink(settings.lines, notify_safely))
        if settings.mqtt is not None:
            sinks.append(_mqtt(settings.mqtt, node_name, notify_safely))
    except BaseException:
        Fanout(sinks).close(0)
        raise
    return Fanout(sinks)


def _mqtt(settings: MqttSettings, node_name: str, notify: Notify) -> Sink:
    try:
        from runtime.node.events.mqtt import MqttSink
    except ImportError as error:
        if not absent(error, "paho", "paho.mqtt"):
            raise EventError(f"MQTT: {broken('paho-mqtt', error)}") from error
        raise EventError("MQTT needs paho-mqtt: pip install '.[node]'") from None
    return MqttSink(settings, node_name, notify)
