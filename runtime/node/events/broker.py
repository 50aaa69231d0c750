"""An MQTT broker as it is set."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from denet.reading import read_text
from denet.secrets import remember_secret
from runtime.node.events.errors import EventError
from runtime.node.events.link import PATIENCE, Link, Signal
from runtime.node.events.settings import BrokerSettings, MqttSettings

Made = TypeVar("Made")

PORTS = {"mqtt": 1883, "mqtts": 8883}


class Broker:
    """Where and as whom to connect.

    Attributes:
        name: for messages.
        host, port: of it.

    Args:
        settings: of the broker.

    Raises:
        EventError: a setting is wrong, or a file cannot be read.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self.name = settings.shown_url
        scheme, self.host, self.port = _address(settings)
        self._user, self._password = settings.user, _password(settings)
        self._tls = _tls(settings) if scheme == "mqtts" else None
        if self._tls is None and (settings.ca_file or settings.certificate or settings.key):
            raise EventError(f"{self.name}: is without TLS: write mqtts:// or remove the files")

    def client(self, client_id: str, *, manual_ack: bool = False) -> Client:
        """A client that was never connected.

        Args:
            client_id: no two that are connected have the same.
            manual_ack: acknowledge what is received by `Client.ack` alone.
        """
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=manual_ack,
        )
        client.connect_timeout = PATIENCE
        if self._user is not None:
            client.username_pw_set(self._user, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        return client


class NodeBroker(Broker):
    """The broker of a node, which keeps its status there.

    Args:
        settings: of the broker.
        node: the name of the node.

    Raises:
        EventError: as of `Broker`.
    """

    def __init__(self, settings: MqttSettings, node: str) -> None:
        super().__init__(settings)
        self.client_id = f"denet-{node}"
        self.status_topic = topic(settings.status_topic, node=node)
        self.needs_receiver = settings.needs_receiver

    def link(self, signals: SimpleQueue[Signal]) -> Link:
        """Begin to connect.

        Args:
            signals: get what becomes of it.
        """
        client = self.client(self.client_id)
        client.will_set(self.status_topic, "offline", qos=1, retain=True)
        return Link(client, self.host, self.port, signals)


def topic(template: str, **values: str) -> str:
    """A topic from its template.

    Raises:
        EventError: it is none.
    """
    text = template
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    if not text or any(sign in text for sign in "{}+#\0") or len(text.encode()) > 65535:
        known = " and ".join(f"{{{name}}}" for name in values)
        raise EventError(
            f"topic {template!r} gives {text!r}: only {known} may stand in it, and no + or #"
        )
    return text


def _address(settings: BrokerSettings) -> tuple[str, str, int]:
    shown = settings.shown_url
    form = "write mqtt://HOST:PORT, or mqtts://HOST:PORT with TLS"
    if "@" in settings.url:  # before anything is said of its parts
        raise EventError(
            f"{shown}: has a user in it: set user, and password_file or password_env instead"
        )
    try:
        parts = urlsplit(settings.url)
        port = parts.port
    except ValueError as error:
        raise EventError(f"{shown}: is no address of a broker ({error}): {form}") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise EventError(f"{shown}: is no address of a broker: {form}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise EventError(f"{shown}: has something after the port: {form}")
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme]


def _password(settings: BrokerSettings) -> str | None:
    if settings.password_file is None and settings.password_env is None:
        return None
    if settings.user is None:
        raise EventError("a password without a user: set user, too")
    if settings.password_file is not None and settings.password_env is not None:
        raise EventError("password_file and password_env are both set: remove one")
    if settings.password_env is not None:
        value = os.environ.get(settings.password_env)
        if value is None:
            raise EventError(f"password_env: the variable {settings.password_env} is not set")
    else:
        value = read_text(Path(str(settings.password_file)), EventError).rstrip("\r\n")
    remember_secret(value)
    return value


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    if settings.key is not None and settings.certificate is None:
        raise EventError(f"{settings.key}: a key without a certificate: set certificate, too")
    context = _loaded(settings.ca_file, lambda: ssl.create_default_context(cafile=settings.ca_file))
    if settings.certificate is not None:
        certificate, key = settings.certificate, settings.key
        # A key that is encrypted would ask the terminal for its password.
        _loaded(
            f"{certificate}{f', {key}' if key else ''}",
            lambda: context.load_cert_chain(certificate, key, lambda: ""),
        )
    return context


def _loaded(files: str | None, load: Callable[[], Made]) -> Made:
    try:
        return load()
    except OSError as error:  # ssl.SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise EventError(f"{files}: cannot be used for TLS: {reason}") from None
