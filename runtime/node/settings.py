"""The configuration of a node: `node.toml` as strict structs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import force_setattr

from denet.graph import Modality
from denet.pixels import Range
from denet.reading import read_toml
from denet.secrets import redacted
from denet.validation import converted
from runtime.gallery.postgres.address import remember_secrets_in
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.settings import BoxSettings
from runtime.node.config_secrets import fill_in_secrets
from runtime.node.errors import NodeError
from runtime.node.events import EventSettings
from runtime.node.head.settings import NAME, HeadSettings, head_converted, sections_converted
from runtime.node.health import Limits
from runtime.node.sources import SourceSettings, TrackTiming
from runtime.node.status import StatusSettings
from runtime.node.tracks.settings import TrackSettings

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


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

    @property
    def engines(self) -> EngineHome | None:
        """Where TensorRT engines of detectors may be: beside those of the bundle."""
        if self.bundle is None:
            return None
        return EngineHome(Path(self.bundle), None if self.key is None else Path(self.key))


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
        heads: several camera heads, each with sources of its own.
        sources, timing, health, boxes, tracks: of the one head of a node without `heads`, as of
            `HeadSettings`.
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
    heads: tuple[HeadSettings, ...] = ()
    sources: dict[Modality, SourceSettings] = {}
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
        if not NAME.fullmatch(self.name):
            raise NodeError(f"name: {self.name!r}: take letters, digits, and then also . _ -")
        if not (self.model.bundle or self.model.server):
            raise NodeError("model.bundle: is missing, and so is model.server: give one, or both")
        if self.heads:
            _check_heads(self.heads)
            if self.sources:
                raise NodeError("sources: belong to each of [[heads]]: move them there")
            for m in self.health:
                if not any(m in head.sources for head in self.heads):
                    raise NodeError(f"health.{m}: no head has [heads.sources.{m}]")
        else:
            (head,) = self.camera_heads
            force_setattr(self, "sources", head.sources)
            force_setattr(self, "health", head.health)
        if self.gallery is not None:
            _check_gallery(self.gallery)
        for head in self.camera_heads:
            if head.tracks is not None:
                named = self.scores_of_tracks(head.tracks) is not None
                _check_tracks(head.tracks, head.key("tracks"), named=named)
        followed = any(head.tracks is not None for head in self.camera_heads)
        if self.status is not None and self.status.people and not followed:
            raise NodeError("status.people: are who is followed, and nobody is: add [tracks]")
        for section, server in (("status", self.status), ("metrics", self.metrics)):
            if server is not None and not server.host.strip():
                raise NodeError(f"{section}.host: is empty: write 127.0.0.1, or 0.0.0.0 for all")

    @property
    def camera_heads(self) -> tuple[HeadSettings, ...]:
        """All of them: the one that the sections of the node describe, where none is named."""
        if self.heads:
            return self.heads
        return (
            HeadSettings(
                sources=self.sources,
                timing=self.timing,
                health=self.health,
                boxes=self.boxes,
                tracks=self.tracks,
            ),
        )

    def scores_of_tracks(self, tracks: TrackSettings) -> str | None:
        """File of the scores by which tracks are compared: their own, or the gallery's; None for
        those that the bundle carries."""
        return tracks.scores or (None if self.gallery is None else self.gallery.scores)

    @property
    def ranges(self) -> dict[Modality, Range]:
        """The values of black and white that hold for all that is embedded. Several heads have
        their own, and bring their pixels to 8 bits themselves."""
        return {} if self.heads else self.camera_heads[0].ranges


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
        heads = found.get("heads")
        if isinstance(heads, list):
            found["heads"] = [head_converted(table, i, found) for i, table in enumerate(heads)]
        found = sections_converted(found, "")
    return converted(found, NodeSettings, "", NodeError)


def _check_heads(heads: tuple[HeadSettings, ...]) -> None:
    names = [head.name for head in heads]
    for name in names:
        if not NAME.fullmatch(name):
            raise NodeError(f"heads: name {name!r}: take letters, digits, and then also . _ -")
        if names.count(name) > 1:
            raise NodeError(f"heads.{name}: two heads have this name: give each its own")


def _check_gallery(gallery: GallerySettings) -> None:
    if gallery.threshold is not None and gallery.scores is not None:
        raise NodeError("gallery.threshold: is of cosines, which scores replaces: give fmr")
    if gallery.threshold is not None and gallery.fmr is not None:
        raise NodeError("gallery.fmr: is of scores, and gallery.threshold of cosines: keep one")
    if gallery.fmr is not None and not 0 < gallery.fmr <= 1:
        raise NodeError(f"gallery.fmr: {gallery.fmr:g}: give a share between 0 and 1, as 0.001")


def _check_tracks(tracks: TrackSettings, key: str, *, named: bool) -> None:
    if tracks.threshold is not None and named:
        raise NodeError(f"{key}.threshold: is of cosines, which scores replace: give fmr")
    if tracks.threshold is not None and tracks.fmr is not None:
        raise NodeError(f"{key}.fmr: is of scores, and {key}.threshold of cosines: keep one")
