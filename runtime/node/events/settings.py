"""Where the events of a node go, as its configuration says."""

from __future__ import annotations

from typing import Annotated

import msgspec

from denet.secrets import redacted, remember_secrets_of
from runtime.node.events.event import EmbeddingType

MB = 1_000_000

Bytes = Annotated[int, msgspec.Meta(ge=MB)]


class LinesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file with one event in JSON a line.

    Attributes:
        path: the file. Its folder must exist.
        max_bytes: at which it is renamed to `path`.1, what was that to `path`.2, and so on.
        keep: how many such older files are kept.
    """

    path: str
    max_bytes: Bytes = 100 * MB
    keep: Annotated[int, msgspec.Meta(ge=1)] = 5


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a broker is, and as whom to connect.

    Attributes:
        url: mqtt://HOST:PORT, or mqtts://HOST:PORT with TLS; 1883 and 8883 if no port is given.
        user: None to be nobody.
        password_file: a file that holds the password; an end of line is cut off.
        password_env: or the name of an environment variable that does.
        ca_file: certificates that the broker's must be signed by; None for the system's.
        certificate, key: files (PEM) by which this client proves who it is.
    """

    url: str
    user: str | None = None
    password_file: str | None = None
    password_env: str | None = None
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        remember_secrets_of(self.url)

    @property
    def shown_url(self) -> str:
        """The address without what people put before an "@", where it does not belong."""
        before, at, place = self.url.rpartition("@")
        scheme, mark, _ = before.partition("://")
        return redacted(f"{scheme if mark else ''}{mark}***@{place}" if at else self.url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown_url!r})"


class MqttSettings(BrokerSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A broker that a node tells its events.

    Attributes:
        outbox: file in which events wait until the broker has them. Its folder must exist.
        outbox_bytes: of that file at most; the oldest events go first.
        topic: of events; {node} and {kind} are replaced.
        status_topic: keeps "online", or "offline" as the last will; {node} is replaced.
        needs_receiver: an event that the broker has nobody for waits in the outbox; without, it has
            arrived.
    """

    outbox: str
    outbox_bytes: Bytes = 256 * MB
    topic: str = "denet/{node}/{kind}"
    status_topic: str = "denet/{node}/status"
    needs_receiver: bool = False


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events go; nowhere, if neither is given.

    Attributes:
        embedding: type of the numbers of embeddings in events; for `Embedding.of`.
        lines: to a file.
        mqtt: to a broker.
    """

    embedding: EmbeddingType = "float16"
    lines: LinesSettings | None = None
    mqtt: MqttSettings | None = None
