"""One connection to an MQTT broker.

paho's own queue and its own reconnecting stay off: it would send again what the outbox sends again,
and tells nobody why it cannot connect. Each connection is a new client; what happens to it comes as
a signal into a queue, in the order in which it happens.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Union, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from runtime.node.stage import POLL, Beat, Stage

KEEPALIVE = 30
"""Seconds of silence after which the broker is asked; after as many again it counts as lost."""

PATIENCE = 5.0
"""Seconds for a TCP connection and the TLS handshake."""

PERMANENT = frozenset({0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Reasons of a CONNACK that somebody has to mend: MQTT version, client id, password, rights, ban,
method."""

UNSPECIFIED = 0x80
"""What paho calls it when the other end is just gone."""

NOBODY = 0x10
"""Reason of a PUBACK: nobody has subscribed to the topic, and the broker keeps nothing of it."""

BLAMES = frozenset({UNSPECIFIED, 0x81, 0x82, 0x83, 0x90, 0x95, 0x99})
"""Reasons of a DISCONNECT that may be due to what was sent: malformed, against the protocol or the
implementation, its topic, size or format. Others are of the broker alone, such as that it shuts
down, or that another client has the name."""

RESOLVING = 60.0
"""Seconds that a system may take to find a host by its name, which nothing can end."""


@dataclass(frozen=True)
class Connected:
    """The broker has taken the client.

    Attributes:
        link: which.
        window: messages that it lets be on their way.
        largest: bytes of a packet that it takes; None for any.
    """

    link: Link
    window: int
    largest: int | None


@dataclass(frozen=True)
class Lost:
    """There is no connection, or no more.

    Attributes:
        link: which.
        reason: why, for a person.
        refused: somebody has to mend it.
        ended: the other end has ended it, and what it was sent may be why.
        defect: of this program.
    """

    link: Link
    reason: str
    refused: bool = False
    ended: bool = False
    defect: BaseException | None = None


@dataclass(frozen=True)
class Acknowledged:
    """The broker has a message, or does not keep it and says why."""

    link: Link
    message: int
    refusal: ReasonCode | None


Signal = Union[Connected, Lost, Acknowledged, None]
"""None says that there is something new in the outbox."""


class Link:
    """Connects and talks in a thread of its own, and tells what becomes of it.

    Attributes:
        stage: its thread.

    Args:
        client: to connect; it was never used.
        host, port: of the broker.
        signals: get what happens.
    """

    def __init__(self, client: Client, host: str, port: int, signals: SimpleQueue[Signal]) -> None:
        self._client, self._host, self._port, self._signals = client, host, port, signals
        self._lock = threading.Lock()
        self._over = self._parted = False
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        # With it, `publish` leaves all writing to this thread.
        client.on_socket_register_write = lambda *_: None
        self.stage = Stage("mqtt connection", self._run, _told, patience=RESOLVING)
        self.stage.start()

    def publish(self, topic: str, body: bytes | str, *, retain: bool = False) -> int:
        """Send with QoS 1; the number of the message."""
        return self._client.publish(topic, body, qos=1, retain=retain).mid

    def part(self) -> None:
        """Tell the broker good-bye; `Lost` comes when it is said."""
        self._client.disconnect()

    def hang_up(self) -> None:
        """End it at once, whatever state it is in."""
        with self._lock:
            self._over = True
        self._client.disconnect()
        stream = self._client.socket()
        if stream is not None:
            with contextlib.suppress(OSError):  # it may be down
                cast(socket.socket, stream).shutdown(socket.SHUT_RDWR)

    def _run(self, beat: Beat) -> None:
        try:
            self._talk(beat)
        except BaseException as error:  # what brokers send is of any kind, and so are the effects
            reason = f"connection failed: {type(error).__name__}: {error}"
            self._signals.put(Lost(self, reason, ended=True, defect=error))
        finally:
            stream = self._client.socket()
            if stream is not None:
                cast(socket.socket, stream).close()

    def _talk(self, beat: Beat) -> None:
        try:
            self._client.connect(self._host, self._port, KEEPALIVE)
        except (OSError, ValueError) as error:
            refused = isinstance(error, ssl.SSLError)
            self._signals.put(Lost(self, why_away(error, self._host), refused))
            return
        with self._lock:
            over = self._over
        if over:
            return
        beat()
        while self._client.loop(POLL) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            beat()
        if not self._parted:
            self._signals.put(Lost(self, "connection lost"))

    def _connected(
        self, _c: Client, _d: Any, _f: ConnectFlags, code: ReasonCode, sent: Properties | None
    ) -> None:
        if code.is_failure:
            permanent = code.value in PERMANENT
            self._signals.put(Lost(self, f"refused: {plain_code(code)}", permanent))
            return
        window = getattr(sent, "ReceiveMaximum", 65535)
        self._signals.put(Connected(self, window, getattr(sent, "MaximumPacketSize", None)))

    def _disconnected(
        self, _c: Client, _d: Any, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        why = "" if code.value == UNSPECIFIED else f": {plain_code(code)}"
        self._parted = True
        self._signals.put(Lost(self, f"connection lost{why}", ended=code.value in BLAMES))

    def _published(
        self, _c: Client, _d: Any, message: int, code: ReasonCode, _p: Properties
    ) -> None:
        told = code.is_failure or code.value == NOBODY
        self._signals.put(Acknowledged(self, message, code if told else None))


def _told(_stage: str, _error: BaseException) -> None:
    """All that may end the thread is a signal, and the next connection is another link."""


def plain_code(code: ReasonCode) -> str:
    """A reason of the broker, for a person."""
    return str(code).lower()


def why_away(error: OSError | ValueError, host: str) -> str:
    """Why no connection came about, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"refused: its certificate does not hold: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"refused: TLS fails: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"no such host: {host}"
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE:.0f} s"
    return (getattr(error, "strerror", None) or str(error)).lower()
