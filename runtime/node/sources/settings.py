"""Which source stands behind a setting that looks like a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from denet.graph import Modality
from denet.pixels import FULL, checked_range
from denet.secrets import redacted, remember_secrets_of
from runtime.node.sources.base import Source
from runtime.node.sources.film import FilmSource
from runtime.node.sources.folder import Recording
from runtime.node.sources.frame import SourceError
from runtime.node.sources.gstreamer import GStreamerSource
from runtime.node.sources.pace import Start
from runtime.node.sources.stream import StreamSource

FORMS = "folder:PATH, file:VIDEO, rtsp://HOST/PATH, v4l2:/dev/videoN or gst:PIPELINE"

Positive = Annotated[float, msgspec.Meta(gt=0)]


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the frames of one modality come from.

    Attributes:
        url: one of `FORMS`.
        rate: frames a second of a recording. A folder needs one; a file has its own.
        loop: of a recording: begin again at its end, for ever.
        timeout: of a camera: seconds without data after which it counts as lost.
        delay: of a camera: seconds from capture to arrival, as far as they are known. Cameras of
            different make differ by tenths of seconds, and only a measurement shows it.
        range: of pixels of more than 8 bits: the values that are black and white, in the sensor's
            own units, such as [7000, 9000] of 14 bits or [290.0, 310.0] of kelvin. None for those
            of the sensor that the bundle was trained for.
        options: of RTSP and V4L2, for FFmpeg, such as {"pixel_format": "gray16le"}.
    """

    url: str
    rate: Positive | None = None
    loop: bool = False
    timeout: Positive = 5.0
    delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    range: tuple[int | float, int | float] | None = None
    options: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Keep what is secret in it from being told; see that the range is one.

        Raises:
            ValueError: it is not.
        """
        remember_secrets_of(self.url, self.options)
        if self.range is not None:
            checked_range(*self.range)

    def __repr__(self) -> str:
        return f"SourceSettings({redacted(self.url)!r})"


def open_sources(
    settings: Mapping[Modality, SourceSettings], start: Start | None = None
) -> dict[Modality, Source]:
    """A source for each modality; recordings among them begin at one moment.

    Nothing is connected yet, but what can be known is checked: files, folders, packages.

    Args:
        settings: where the frames of each come from.
        start: that moment, if not soon.

    Raises:
        SourceError: one cannot be; names it.
    """
    shared = start or Start()
    return {m: open_source(m, wanted, shared) for m, wanted in settings.items()}


def open_source(modality: Modality, wanted: SourceSettings, start: Start | None = None) -> Source:
    """The source of one modality.

    Args:
        modality: of its frames.
        wanted: where they come from.
        start: when a recording begins.

    Raises:
        SourceError: see `open_sources`.
    """
    scheme, colon, rest = wanted.url.partition(":")
    scheme = scheme.lower()
    if not colon or not rest:
        raise SourceError(f"{modality}: {redacted(wanted.url)!r} is no source: write {FORMS}")
    if scheme == "folder":
        if wanted.rate is None:
            raise SourceError(f"{modality}: {wanted.url}: a folder has no pace: give a rate")
        return Recording(Path(rest), wanted.rate, loop=wanted.loop, start=start).source(
            modality, wanted.range or FULL
        )
    if scheme == "file":
        return FilmSource(modality, Path(rest), rate=wanted.rate, loop=wanted.loop, start=start)
    if wanted.rate is not None or wanted.loop:
        raise SourceError(
            f"{modality}: {redacted(wanted.url)}: a camera has its own rate and no end: "
            "remove rate and loop"
        )
    if scheme == "gst":
        return GStreamerSource(modality, rest, timeout=wanted.timeout, delay=wanted.delay)
    if scheme in ("rtsp", "rtsps", "v4l2"):
        device = scheme == "v4l2"
        return StreamSource(
            modality,
            rest if device else wanted.url,
            form="v4l2" if device else "rtsp",
            options=wanted.options,
            timeout=wanted.timeout,
            delay=wanted.delay,
        )
    # Without slashes it may be a user, whose password follows.
    kind = f"there is no kind of source {scheme!r}" if rest.startswith("//") else "is no source"
    raise SourceError(f"{modality}: {redacted(wanted.url)}: {kind}: write {FORMS}")
