"""The size of what a broker is sent."""

from __future__ import annotations


def packet_size(topic: str, body: bytes) -> int:
    """Bytes of a PUBLISH packet of MQTT 5 with QoS 1 and no properties (section 3.3)."""
    rest = 2 + len(topic.encode()) + 2 + 1 + len(body)
    length = next(count for count in range(1, 6) if rest < 128**count)
    return 1 + length + rest
