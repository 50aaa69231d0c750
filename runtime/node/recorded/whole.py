"""From what is asked to what is written: recordings followed, then drawn, and tables beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
from PIL import Image

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.marks import OutputKind
from denet.outputs import check_output, write_together
from runtime.bundle.bundle import Bundle
from runtime.gallery import open_gallery
from runtime.gallery.scores import carried_scores
from runtime.node.boxes.finder import Surroundings, describe, open_finder
from runtime.node.boxes.homography import Views, read_views
from runtime.node.errors import NodeError
from runtime.node.head.chosen import one_head
from runtime.node.initial import Answers, node_text, read_text
from runtime.node.notify import Notify
from runtime.node.recorded.drawing import FilmLayout, Shown, draw
from runtime.node.recorded.film_writer import FILM, write_film
from runtime.node.recorded.following import Followed, follow
from runtime.node.recorded.rows import (
    MOT,
    TABLE,
    Named,
    csv_text,
    mot_beside,
    mot_text,
    named,
)
from runtime.node.serving import first_serving
from runtime.node.settings import NodeSettings, read_settings
from runtime.node.sources import Frame, Source, Synchronizer, open_sources
from runtime.node.sources.decoding import import_av
from runtime.node.sources.replay import BEGIN, FixedStart, loose_timing, replayed
from runtime.node.tracks.followable import check_followable
from runtime.node.tracks.settings import TrackSettings

Progress = Callable[[str, int, int], None]
"""(what is done, how much of it is done, of how much; 0 where nobody knows)."""


@dataclass(frozen=True, kw_only=True)
class TrackRequest:
    """What a command line says; see `commands.track`."""

    recordings: Mapping[Modality, Path]
    to: Path
    config: Path | None = None
    head: str | None = None
    bundle: Path | None = None
    rate: float | None = None
    boxes: str | None = None
    calibration: Path | None = None
    gallery: str | None = None
    threshold: float | None = None
    force: bool = False


@dataclass(frozen=True)
class TrackSummary:
    """What came out.

    Attributes:
        moments, boxes, tracks, people: how many.
        identities: whom the gallery knows, each with its tracks.
        states: of moments, the most frequent first.
        remarks: what a person should know.
        written: files.
    """

    moments: int
    boxes: int
    tracks: int
    people: int
    identities: Mapping[str, int]
    states: Mapping[str, int]
    remarks: Sequence[str]
    written: Sequence[Path] = field(default_factory=list)


def track_recordings(
    asked: TrackRequest, notify: Notify, progress: Progress = lambda *_: None
) -> TrackSummary:
    """Follow recordings from the first frame to the last, and write what came out: all files or, if
    anything fails or it is interrupted, none.

    Args:
        asked: what.
        notify: told of what happens in the recordings.
        progress: told how far it is.

    Raises:
        DenetError: something that is asked cannot be done; names it.
    """
    outputs = _outputs(asked)
    for path, kind in outputs.items():
        check_output(path, kind, NodeError, replace=asked.force)
    settings = _settings(asked)
    calibration = settings.boxes.calibration
    views = None if calibration is None else read_views(Path(calibration))
    with ExitStack() as opened:
        gallery = None
        if settings.gallery is not None:
            url = settings.gallery.url
            gallery = opened.enter_context(open_gallery(url, read_only=True))
        serving = first_serving(settings, gallery)
        opened.callback(serving.close)
        modalities = [m for m in serving.graph.modalities if m in settings.sources]
        ranges = serving.runtime.preprocess.ranges
        model = settings.model
        around = Surroundings(tuple(modalities), views, ranges, model.threads, home=model.engines)
        finder = open_finder(settings.boxes, settings.timing.tolerance, around=around)
        check_followable(settings.camera_heads[0], finder)
        for line in describe(finder):
            notify(line)
        followed = follow(
            settings,
            serving,
            finder,
            views,
            _sources(settings, modalities),
            notify,
            lambda done: progress("following", done, 0),
        )
    if not followed.moments:
        raise NodeError(f"{', '.join(settings.sources)}: no frame came: {_why(followed)}")
    names = named(followed)
    table = csv_text(followed, names)
    text = {TABLE: table, MOT: mot_text(table)}

    def pictures() -> Iterator[tuple[float, Image.Image]]:
        return _pictures(settings, modalities, views, ranges, followed, names, progress)

    def write(kind: OutputKind, path: Path) -> None:
        if kind is FILM:
            write_film(path, pictures())
        else:
            path.write_text(text[kind], encoding="utf-8")

    writers = {path: (kind, partial(write, kind)) for path, kind in outputs.items()}
    write_together(writers, NodeError, replace=asked.force)
    return _summary(followed, names, list(outputs))


def _outputs(asked: TrackRequest) -> dict[Path, OutputKind]:
    """What is written, and what each is. The table comes last: what is beside it is known by it."""
    suffix = asked.to.suffix
    if suffix not in (FILM.suffix, TABLE.suffix):
        raise NodeError(
            f"{asked.to}: choose NAME.mp4 for a film with tables beside it, or NAME.csv for tables "
            "alone"
        )
    table = asked.to.with_suffix(TABLE.suffix)
    found = {asked.to: FILM} if suffix == FILM.suffix else {}
    if found:
        import_av()
    return found | {mot_beside(table): MOT, table: TABLE}


def _settings(asked: TrackRequest) -> NodeSettings:
    """Of a configuration or of options; every frame is searched."""
    urls = {m: _url(path) for m, path in asked.recordings.items()}
    settings = _answered(asked, urls) if asked.config is None else _configured(asked, urls)
    boxes = settings.boxes
    if boxes.detector is not None and boxes.detector.interval > 1:
        detector = msgspec.structs.replace(boxes.detector, interval=1)
        boxes = msgspec.structs.replace(boxes, detector=detector)
    # Once, whatever a node does at the end.
    sources = {m: msgspec.structs.replace(s, loop=False) for m, s in settings.sources.items()}
    tracks = settings.tracks or TrackSettings()
    return msgspec.structs.replace(settings, boxes=boxes, sources=sources, tracks=tracks)


def _configured(asked: TrackRequest, urls: Mapping[Modality, str]) -> NodeSettings:
    assert asked.config is not None
    given = {
        "--bundle": asked.bundle,
        "--boxes": asked.boxes,
        "--gallery": asked.gallery,
        "--threshold": asked.threshold,
        "--calibration": asked.calibration,
    }
    if also := [option for option, value in given.items() if value is not None]:
        raise NodeError(f"{', '.join(also)}: --config says it: give either of them")
    settings = one_head(read_settings(asked.config), asked.head)
    if urls:
        sources = {
            m: msgspec.structs.replace(
                settings.sources[m], url=url, rate=asked.rate or settings.sources[m].rate
            )
            for m, url in urls.items()
            if m in settings.sources
        }
        if lacking := [m for m in urls if m not in sources]:
            raise NodeError(f"--{lacking[0]}: {asked.config} has no [sources.{lacking[0]}]")
        health = {m: each for m, each in settings.health.items() if m in sources}
        settings = msgspec.structs.replace(settings, sources=sources, health=health)
    for m, source in settings.sources.items():
        if not source.url.startswith(("folder:", "file:")):
            raise NodeError(
                f"sources.{m}: is a camera, and a recording is wanted: name one with --{m}"
            )
    return settings


def _answered(asked: TrackRequest, urls: Mapping[Modality, str]) -> NodeSettings:
    if not urls:
        raise NodeError(f"recordings: name one at least, as --{next(iter(FOLDERS))} FILE")
    if asked.bundle is None:
        raise NodeError("--bundle: is missing: name the bundle that embeds, or --config")
    if asked.head is not None:
        raise NodeError("--head: is of a configuration: name that with --config")
    answers = Answers(
        name="track",
        bundle=str(asked.bundle),
        sources=urls,
        rate=asked.rate,
        boxes=asked.boxes or "motion",
        gallery=asked.gallery,
        threshold=asked.threshold,
        lines=None,
        port=None,
        scores=carried_scores(Bundle.open(asked.bundle)),
    )
    settings = read_text(node_text(answers))
    calibration = None if asked.calibration is None else str(asked.calibration)
    boxes = msgspec.structs.replace(settings.boxes, calibration=calibration)
    timing = loose_timing(open_sources(settings.sources).values())
    return msgspec.structs.replace(settings, boxes=boxes, timing=timing)


def _url(path: Path) -> str:
    return f"folder:{path}" if path.is_dir() else f"file:{path}"


def _sources(settings: NodeSettings, modalities: Sequence[Modality]) -> dict[Modality, Source]:
    found = open_sources(settings.sources, FixedStart())
    return {m: found[m] for m in modalities}


def _pictures(
    settings: NodeSettings,
    modalities: Sequence[Modality],
    views: Views | None,
    ranges: Mapping[Modality, tuple[float, float]],
    followed: Followed,
    names: Mapping[str, Named],
    progress: Progress,
) -> Iterator[tuple[float, Image.Image]]:
    """The recordings once more: by now it is known who everybody is."""
    people: dict[int, list[Shown]] = {}
    for row in followed.rows:
        name = names[row.track]
        people.setdefault(row.moment, []).append(Shown(row.box, name.track, name.label))
    layout: FilmLayout | None = None
    synchronizer = Synchronizer(modalities, settings.timing)
    moments = replayed(_sources(settings, modalities), synchronizer)
    sizes = _sizes(settings, modalities)
    for number, (triplet, _) in enumerate(moments):
        if layout is None:
            layout = FilmLayout(sizes, views, ranges)
        passed = followed.moments[number]
        yield triplet.time - BEGIN, draw(layout, triplet, passed, people.get(number, ()))
        progress("drawing", number + 1, len(followed.moments))


def _sizes(
    settings: NodeSettings, modalities: Sequence[Modality]
) -> dict[Modality, tuple[int, int]]:
    """(width, height) of the first frame of each recording."""
    found: dict[Modality, tuple[int, int]] = {}
    sources = _sources(settings, modalities)
    for triplet, _ in replayed(sources, Synchronizer(modalities, settings.timing)):
        for m, frame in triplet.frames.items():
            if isinstance(frame, Frame) and m not in found:
                found[m] = frame.image.shape[1], frame.image.shape[0]
        if len(found) == len(modalities):
            break
    return {m: found[m] for m in modalities if m in found}


def _why(followed: Followed) -> str:
    return "; ".join(followed.ended.values()) or "see `denet node check`"


def _summary(
    followed: Followed, names: Mapping[str, Named], written: Sequence[Path]
) -> TrackSummary:
    identities = Counter(name.identity for name in names.values() if name.identity)
    states = Counter(moment.state or "nothing healthy" for moment in followed.moments)
    remarks = [f"{m}: ended before its end: {why}" for m, why in followed.ended.items()]
    remarks += [
        f"{m}: {count} frames are in no moment: {why}"
        for (m, why), count in followed.unused.items()
    ]
    remarks += [f"{count} lost: {why}" for why, count in followed.lost.items()]
    return TrackSummary(
        moments=len(followed.moments),
        boxes=len(followed.rows),
        tracks=len(names),
        people=len({name.person for name in names.values() if name.person is not None}),
        identities=dict(identities),
        states=dict(states.most_common()),
        remarks=remarks,
        written=written,
    )
