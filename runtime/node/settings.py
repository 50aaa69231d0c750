"""The configuration of a node: `node.toml` as strict structs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec.structs import force_setattr

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.pixels import Range
from denet.reading import read_toml
from denet.secrets import redacted
from denet.validation import converted, unknown_key
from runtime.gallery.postgres.address import remember_secrets_in
from runtime.node.boxes.settings import BoxSettings
from runtime.node.config_secrets import fill_in_secrets
from runtime.node.errors import NodeError
from runtime.node.events import EventSettings
from runtime.node.health import Limits
from runtime.node.sources import SourceSettings, TrackTiming
from runtime.node.status import StatusSettings
from runtime.node.tracks.settings import TrackSettings

T = TypeVar("T")

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


MODALITIES = tuple(FOLDERS)
"""What a sensor may be called, in their order; which of them a node can have, its bundle says."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What embeds.

    Attributes:
        bundle: its path, which is watched: what replaces it takes over. None where a server embeds,
            and nothing does while that is away.
        server: where a bundle is served, as "grpc://HOST:PORT"; see `runtime.serve.address`.
        backend, precision, threads: of the bundle, as of `Runtime.load`.
        key: file of public keys; a bundle that none of them has signed is refused.
        cache: a folder where ONNX Runtime's optimized graphs are kept, for a faster start.
    """

    bundle: str | None = None
    server: str | None = None
    backend: str = "auto"
    precision: str = "auto"
    threads: Count | None = None
    key: str | None = None
    cache: str | None = None


class BatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How crops are put together for the engines.

    Attributes:
        largest: crops of a batch at most.
        deadline: seconds after the capture at which an embedding should be there. A crop waits for
            others only as long as that allows.
        waiting: crops that wait at most; the oldest goes first.
        overload: what happens where more come than there is time for: crops are dropped, or healthy
            modalities are shed so that a cheaper state runs.
        floor: with "shed": the name of a state; nothing that is worth less runs for another.
    """

    largest: Count = 8
    deadline: Seconds = 0.1
    waiting: Count = 32
    overload: Literal["drop", "shed"] = "drop"
    floor: str | None = None

    def __post_init__(self) -> None:
        """See that they go together.

        Raises:
            ValueError: they do not.
        """
        if self.floor is not None and self.overload != "shed":
            raise ValueError('a floor is of overload = "shed"')


class GallerySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom the node knows.

    Attributes:
        url: of the gallery, as "file:gallery.db", or "postgresql://USER@HOST/DATABASE".
        scores: file of `denet gallery calibrate`; None for the scores that the bundle carries.
        fmr: the greatest false-match rate of a match, by these scores; None for the usual one.
        threshold: the least cosine of a match, set on purpose: then there are no scores.
    """

    url: str
    scores: str | None = None
    fmr: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        remember_secrets_in(self.url)

    def __repr__(self) -> str:
        return f"GallerySettings({redacted(self.url)!r})"


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where Prometheus finds the metrics. Port 0 is any that is free."""

    port: Port
    host: str = "127.0.0.1"


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a node.

    Attributes:
        name: of the node, in its events.
        model: what embeds.
        sources: where the frames of each modality come from, in the order of `MODALITIES`; at
            least one.
        timing: how frames are matched.
        health: thresholds of each modality, where others than the usual ones hold.
        boxes: where persons are.
        tracks: how people are followed; None not to.
        batches: how crops are put together.
        gallery: whom the node knows.
        events: where events go.
        status: where the page for a person is.
        metrics: where Prometheus finds them.
        watchdog: seconds without progress after which a stage counts as stuck.
        drain: seconds that a stop may take to finish what is under way.
    """

    name: str
    model: ModelSettings
    sources: dict[Modality, SourceSettings]
    timing: TrackTiming = TrackTiming()
    health: dict[Modality, Limits] = {}
    boxes: BoxSettings = BoxSettings()
    tracks: TrackSettings | None = None
    batches: BatchSettings = BatchSettings()
    gallery: GallerySettings | None = None
    events: EventSettings = EventSettings()
    status: StatusSettings | None = None
    metrics: MetricsSettings | None = None
    watchdog: Seconds = 10.0
    drain: Seconds = 10.0

    def __post_init__(self) -> None:
        """See that the sections go together.

        Raises:
            NodeError: they do not; names the keys.
        """
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", self.name):
            raise NodeError(f"name: {self.name!r}: take letters, digits, and then also . _ -")
        force_setattr(self, "sources", _ordered("sources", self.sources))
        force_setattr(self, "health", _ordered("health", self.health))
        if not (self.model.bundle or self.model.server):
            raise NodeError("model.bundle: is missing, and so is model.server: give one, or both")
        if not self.sources:
            raise NodeError(f"sources: none is given: write [sources.{MODALITIES[0]}] with a url")
        for m in self.health:
            if m not in self.sources:
                raise NodeError(f"health.{m}: there is no [sources.{m}]")
            if self.health[m].range16 != Limits().range16:
                raise NodeError(
                    f"health.{m}.range16: write sources.{m}.range: it holds for what embeds, too"
                )
        if len(finders := self.boxes.finders) > 1:
            raise NodeError(f"boxes: {' and '.join(finders)} exclude each other: keep one")
        if self.gallery is not None:
            _check_gallery(self.gallery)
        if self.tracks is not None:
            _check_tracks(self.tracks, named=self.scores_of_tracks is not None)
        for section, server in (("status", self.status), ("metrics", self.metrics)):
            if server is not None and not server.host.strip():
                raise NodeError(f"{section}.host: is empty: write 127.0.0.1, or 0.0.0.0 for all")

    @property
    def scores_of_tracks(self) -> str | None:
        """File of the scores by which tracks are compared: their own, or the gallery's; None for
        those that the bundle carries."""
        own = None if self.tracks is None else self.tracks.scores
        return own or (None if self.gallery is None else self.gallery.scores)

    @property
    def ranges(self) -> dict[Modality, Range]:
        """The values of black and white of each source that says them."""
        return {m: s.range for m, s in self.sources.items() if s.range is not None}


def read_settings(path: Path) -> NodeSettings:
    """The configuration at `path`; placeholders in it are filled in.

    Raises:
        NodeError: it cannot be read, is no TOML, or has a key or value that is none; names it.
    """
    document = read_toml(path, NodeError)
    try:
        return convert(document)
    except NodeError as error:
        raise NodeError(f"{path}: {error}") from None


def convert(document: Any) -> NodeSettings:
    """The settings in a document of plain values.

    Raises:
        NodeError: as `read_settings`.
    """
    found = fill_in_secrets(document)
    if isinstance(found, dict):
        # One by one, for what is wrong with one to be told with its name.
        for section, kind in (("sources", SourceSettings), ("health", Limits)):
            tables = found.get(section)
            if isinstance(tables, dict):
                found[section] = {
                    m: converted(table, kind, f"{section}.{m}", NodeError)
                    for m, table in _ordered(section, tables).items()
                }
    return converted(found, NodeSettings, "", NodeError)


def _ordered(section: str, tables: Mapping[str, T]) -> dict[Modality, T]:
    """The tables of a section in the order of their modalities.

    Raises:
        NodeError: one is not of a modality.
    """
    for name in tables:
        if name not in MODALITIES:
            raise NodeError(unknown_key(name, f"[{section}]", f": {', '.join(MODALITIES)}"))
    return {m: tables[m] for m in MODALITIES if m in tables}


def _check_gallery(gallery: GallerySettings) -> None:
    if gallery.threshold is not None and gallery.scores is not None:
        raise NodeError("gallery.threshold: is of cosines, which scores replaces: give fmr")
    if gallery.threshold is not None and gallery.fmr is not None:
        raise NodeError("gallery.fmr: is of scores, and gallery.threshold of cosines: keep one")
    if gallery.fmr is not None and not 0 < gallery.fmr <= 1:
        raise NodeError(f"gallery.fmr: {gallery.fmr:g}: give a share between 0 and 1, as 0.001")


def _check_tracks(tracks: TrackSettings, *, named: bool) -> None:
    if tracks.threshold is not None and named:
        raise NodeError("tracks.threshold: is of cosines, which scores replace: give fmr")
    if tracks.threshold is not None and tracks.fmr is not None:
        raise NodeError("tracks.fmr: is of scores, and tracks.threshold of cosines: keep one")
