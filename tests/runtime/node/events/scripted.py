"""A broker on loopback that speaks as much of MQTT 5 as is needed, and does what a test wants."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

Reply = bytes
"""What a PUBLISH is answered with; b"" to close the connection."""


def puback(number: int, code: int = 0) -> Reply:
    return struct.pack("!BBHB", 0x40, 3, number, code)


def disconnect(code: int) -> Reply:
    return bytes([0xE0, 1, code])


CLOSE: Reply = b""

TAKE: Reply = b"\0"
"""Stands for the PUBACK."""


class ScriptedBroker:
    """Asks `script` about each PUBLISH, and does that.

    Attributes:
        taken: bodies of the events that were taken, in order.
        sizes: topic and bytes of each PUBLISH packet.
        connections: how many there were.
        largest: the Maximum Packet Size that is announced; 0 for none.
    """

    def __init__(self, script: Callable[[str, bytes], Reply | int], largest: int = 0) -> None:
        self.script, self.largest = script, largest
        self.taken: list[bytes] = []
        self.sizes: list[tuple[str, int]] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with stream, stream.makefile("rb") as incoming:
            try:
                while first := incoming.read(1):
                    length, digits = _length(incoming.read)
                    size = 1 + digits + length
                    if not self._answer(stream, first[0], incoming.read(length), size):
                        return
            except OSError:
                return

    def _answer(self, stream: socket.socket, first: int, rest: bytes, all_of_it: int) -> bool:
        kind = first >> 4
        if kind == 1:
            self.connections += 1
            more = struct.pack("!BI", 0x27, self.largest) if self.largest else b""
            stream.sendall(bytes([0x20, 3 + len(more), 0, 0, len(more)]) + more)
        elif kind == 12:
            stream.sendall(b"\xd0\0")
        elif kind == 14:
            return False
        elif kind == 3:
            (size,) = struct.unpack_from("!H", rest)
            topic, (number,) = rest[2 : 2 + size].decode(), struct.unpack_from("!H", rest, 2 + size)
            self.sizes.append((topic, all_of_it))
            return self._published(stream, topic, number, rest[2 + size + 3 :])
        return True

    def _published(self, stream: socket.socket, topic: str, number: int, body: bytes) -> bool:
        reply = self.script(topic, body)
        if isinstance(reply, int):
            stream.sendall(puback(number, reply))
            return True
        if reply == TAKE:
            if not topic.endswith("/status"):
                self.taken.append(body)
            stream.sendall(puback(number))
            return True
        stream.sendall(reply)
        return False


def _length(read: Callable[[int], bytes]) -> tuple[int, int]:
    """The remaining length of a packet, and how many bytes tell it."""
    value = digits = 0
    while True:
        (byte,) = read(1)
        value |= (byte & 127) << 7 * digits
        digits += 1
        if not byte & 128:
            return value, digits
