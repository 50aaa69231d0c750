"""A session with the broker that outlasts connections: what it holds is sent again until it is
acknowledged. One thread, which calls often enough that the broker does not think it is gone."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from runtime.fleet.arrival import Arrival
from runtime.node.events.broker import Broker
from runtime.node.events.link import (
    KEEPALIVE,
    PATIENCE,
    PERMANENT,
    UNSPECIFIED,
    plain_code,
    why_away,
)

WINDOW = 500
"""Messages that the broker sends before the first of them is acknowledged."""

FOR_EVER = 0xFFFFFFFF
"""Seconds for which a broker is to keep a session (MQTT 5, section 3.1.2.11.2)."""

TAKEN_OVER = 0x8E

NO_SHARING = 0x9E


class BrokerAwayError(Exception):
    """There is no connection, or no more.

    Attributes:
        refused: somebody has to mend it.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class Subscription:
    """Receives what is published, as one of those who share it.

    Args:
        broker: where.
        session: the name of the session; no two that are connected have the same.
        group: those of one group share what comes.
        topic: of what comes; + and # stand for others.
        draining: take only what the broker already holds for the session, and end it then.
        brief: let the session end with the connection.

    Raises:
        BrokerAwayError: it cannot be reached.
    """

    def __init__(
        self,
        broker: Broker,
        session: str,
        group: str,
        topic: str,
        *,
        draining: bool = False,
        brief: bool = False,
    ) -> None:
        self._session, self._draining = session, draining
        self._keep = 0 if draining or brief else FOR_EVER
        self._filter = f"$share/{group}/{topic}"
        self._arrived: list[Arrival] = []
        self._answer: ReasonCode | None = None
        self._granted: Sequence[ReasonCode] | None = None
        self._lost = ""
        self._client = client = broker.client(session, manual_ack=True)
        client.on_connect = self._connected
        client.on_subscribe = client.on_unsubscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        try:
            self._open(broker)
        except BaseException:
            self.hang_up()
            raise

    def receive(self, wait: float) -> list[Arrival]:
        """What has come since the last call; waits for it at most `wait` seconds.

        Raises:
            BrokerAwayError: the connection is lost. What was not acknowledged comes again.
        """
        self._loop(wait)
        arrived, self._arrived = self._arrived, []
        return arrived

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """These are kept, and are not to come again."""
        for arrival in arrivals:
            self._client.ack(arrival.number, 1)

    def close(self) -> None:
        """Say good-bye. The broker keeps the session, unless it is drained or brief."""
        try:
            for _ in range(100):
                if not self._client.want_write():
                    break
                self._loop(0.01)
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._keep
            self._client.disconnect(properties=properties)
            while self._client.want_write():
                self._loop(0.01)
        except BrokerAwayError:
            pass
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """End it at once."""
        stream = self._client.socket()
        if stream is not None:
            cast(socket.socket, stream).close()

    def _open(self, broker: Broker) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        # One that is drained lasts until it is, however often the connection is lost.
        properties.SessionExpiryInterval = FOR_EVER if self._draining else self._keep
        properties.ReceiveMaximum = WINDOW
        try:
            self._client.connect(
                broker.host, broker.port, KEEPALIVE, clean_start=False, properties=properties
            )
        except (OSError, ValueError) as error:
            refused = isinstance(error, ssl.SSLError)
            raise BrokerAwayError(why_away(error, broker.host), refused=refused) from None
        self._until(lambda: self._answer is not None)
        assert self._answer is not None
        if self._answer.is_failure:
            refused = self._answer.value in PERMANENT
            raise BrokerAwayError(f"refused: {plain_code(self._answer)}", refused=refused)
        if self._draining:
            self._client.unsubscribe(self._filter)
        else:
            self._client.subscribe(self._filter, options=SubscribeOptions(qos=1))
        self._until(lambda: self._granted is not None)
        for code in self._granted or ():
            if code.is_failure and not self._draining:
                hint = ": it cannot share subscriptions" if code.value == NO_SHARING else ""
                raise BrokerAwayError(
                    f"refuses the topic {self._filter}: {plain_code(code)}{hint}", refused=True
                )

    def _until(self, true: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > end:
                raise BrokerAwayError(f"no answer in {PATIENCE:.0f} s")
            self._loop(0.05)

    def _loop(self, wait: float) -> None:
        code = self._client.loop(wait)
        if self._lost or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self._answer is not None and self._answer.is_failure:
                return  # which says more
            raise BrokerAwayError(self._lost or "connection lost")

    def _connected(
        self, _c: Client, _d: Any, _f: ConnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        self._answer = code

    def _subscribed(
        self, _c: Client, _d: Any, _m: int, codes: Sequence[ReasonCode], _p: Properties | None
    ) -> None:
        self._granted = codes

    def _disconnected(
        self, _c: Client, _d: Any, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        if code.value == TAKEN_OVER:
            self._lost = (
                f"another has connected as {self._session}: give each machine a name of its own"
            )
        elif code.is_failure:
            why = "" if code.value == UNSPECIFIED else f": {plain_code(code)}"
            self._lost = f"connection lost{why}"

    def _received(self, _c: Client, _d: Any, message: MQTTMessage) -> None:
        self._arrived.append(Arrival(message.topic, bytes(message.payload), message.mid))
