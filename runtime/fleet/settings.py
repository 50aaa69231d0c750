"""The configuration of a fleet: `fleet.toml` as strict structs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from denet.reading import read_toml
from denet.secrets import redacted
from denet.validation import converted
from runtime.fleet.errors import FleetError
from runtime.node.config_secrets import fill_in_secrets
from runtime.node.errors import NodeError
from runtime.node.events.settings import MB, BrokerSettings
from runtime.postgres.address import Address, read_address, remember_secrets_in

Section = TypeVar("Section")

SCHEMA = "denet_fleet"
"""Of the database, where none is named: not that of galleries, which other roles may read."""

DAY = 86400.0

Above = Annotated[float, msgspec.Meta(gt=0)]


class ArchiveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where tracks are kept, and how long.

    Attributes:
        url: "postgresql://USER@HOST/DATABASE", with the options of `runtime.postgres.address`.
        days: after which a track is forgotten, from when its last event came; None for never.
        bytes: that all that is kept may have; the tracks that came first go. None for any.
    """

    url: str
    days: Above | None = None
    bytes: Annotated[int, msgspec.Meta(ge=MB)] | None = None

    def __post_init__(self) -> None:
        remember_secrets_in(self.url)
        _ = self.address  # what is wrong with it is told with the file's name

    @property
    def address(self) -> Address:
        """Where it is.

        Raises:
            FleetError: `url` names no database, or its password cannot be read.
        """
        return read_address(self.url, FleetError, schema=SCHEMA)[0]

    def __repr__(self) -> str:
        return f"ArchiveSettings({redacted(self.url)!r})"


class FleetBrokerSettings(BrokerSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker that nodes tell their events.

    Attributes:
        topic: of the tracks of all nodes; + stands for one word.
        group: of the shared subscription: workers of one group share the events.
    """

    topic: str = "denet/+/track"
    group: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.-]+$")] = "fleet"


class QuestionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What answers need.

    Attributes:
        scores: file of `denet gallery calibrate`; those that `bundle` carries where none is named.
        bundle: the bundle that embeds pictures which are searched for.
    """

    scores: str | None = None
    bundle: str | None = None


class TransitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A way from one camera to another that people take, with no camera between.

    Attributes:
        origin: the camera that they leave; `from` in the file.
        to: the camera that they come to.
        seconds: the least and the most from out of view of the one to in view of the other. A
            negative least is of cameras that see the same place.
    """

    origin: str = msgspec.field(name="from")
    to: str
    seconds: tuple[float, float]

    def __post_init__(self) -> None:
        least, most = self.seconds
        if not -DAY < least < most < DAY:
            raise FleetError(
                f"from {self.origin} to {self.to}: seconds = [{least:g}, {most:g}]: give the least "
                "and a greater most, of a day at most"
            )


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How tracks of several cameras are joined into identities.

    Attributes:
        window: seconds after which nobody is expected to be seen again.
        every: seconds between two looks at what has come.
        transits: from which camera one comes to which; none if nothing is known of that.
    """

    window: Annotated[float, msgspec.Meta(ge=10, le=DAY)] = 3600.0
    every: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 10.0
    transits: tuple[TransitSettings, ...] = ()

    def __post_init__(self) -> None:
        for each in self.transits:
            if each.seconds[1] > self.window:
                raise FleetError(
                    f"identities.transits: from {each.origin} to {each.to} in up to "
                    f"{each.seconds[1]:g} s, but nobody is expected after identities.window = "
                    f"{self.window:g}: raise it"
                )
        ways = [(each.origin, each.to) for each in self.transits]
        for one, other in ways:
            if ways.count((one, other)) > 1:
                raise FleetError(f"identities.transits: two are from {one} to {other}: write one")


class PageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A page for a person, on this machine alone unless `host` says otherwise.

    Attributes:
        port: of it; 0 for any that is free.
        host: the address that it listens on, or a name. It shows people and asks nobody for a
            password: from elsewhere, put a proxy with a login before it.
    """

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8322
    host: str = "127.0.0.1"


class FleetMetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where Prometheus finds the metrics of `denet fleet run`. Port 0 is any that is free."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 9322
    host: str = "127.0.0.1"


class FleetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a fleet.

    Attributes:
        name: of these workers: part of the names of their sessions at the broker. Each machine has
            its own.
        archive: where tracks are kept.
        broker: where they come from; None where questions alone are asked.
        workers: threads that receive and store.
        questions: what answers need.
        identities: how tracks of several cameras are joined.
        page: where a person sees all that.
        metrics: where Prometheus finds what the workers do; None for nowhere.
    """

    archive: ArchiveSettings
    name: str = "fleet"
    broker: FleetBrokerSettings | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    questions: QuestionSettings = QuestionSettings()
    identities: IdentitySettings = IdentitySettings()
    page: PageSettings = PageSettings()
    metrics: FleetMetricsSettings | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", self.name):
            raise FleetError(f"name: {self.name!r}: take letters, digits, and then also . _ -")


def read_fleet_settings(path: Path) -> FleetSettings:
    """The configuration at `path`; placeholders in it are filled in.

    Raises:
        FleetError: it cannot be read, is no TOML, or has a key or value that is none; names it.
    """
    document: Any = read_toml(path, FleetError)
    try:
        return converted(fill_in_secrets(document), FleetSettings, "", FleetError)
    except (FleetError, NodeError) as error:
        raise FleetError(f"{path}: {error}") from None


def required(section: Section | None, name: str, why: str) -> Section:
    """A part of the configuration that need not be there.

    Raises:
        FleetError: it is not.
    """
    if section is None:
        raise FleetError(f"{name}: is missing: {why}")
    return section
