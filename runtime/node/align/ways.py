"""From what is asked to what is written: points in one of several ways, homographies, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.marks import OutputKind
from denet.outputs import check_output, write_together
from denet.pixels import Range
from runtime.node.align.aligned import WITHIN, Aligned, align, views_of
from runtime.node.align.board import Board, parse_board
from runtime.node.align.calibration_file import CALIBRATION, calibration_text
from runtime.node.align.clicking import ClickPage
from runtime.node.align.found import LOOSE, SeenFrames, find_boards, find_people, look
from runtime.node.align.looking import Moment, moments
from runtime.node.align.overlay import OVERLAY, overlay
from runtime.node.align.parallax import parallax_line, parse_rig
from runtime.node.align.people import People, people_finders
from runtime.node.align.points import POINTS, PointFile, read_points
from runtime.node.boxes.homography import REFERENCE
from runtime.node.boxes.settings import BoxSettings
from runtime.node.errors import NodeError
from runtime.node.head.chosen import one_head
from runtime.node.settings import read_settings
from runtime.node.sources import SourceSettings, TrackTiming, open_sources

OF_CAMERAS = 60.0
"""Seconds that cameras are looked at, unless it is said."""

Notify = Callable[[str, int], None]
"""(what is done, how much of it is done)."""


@dataclass(frozen=True, kw_only=True)
class AlignRequest:
    """What a command line says; see `commands.align`."""

    config: Path | None = None
    head: str | None = None
    sources: Sequence[str] = ()
    rate: float | None = None
    points: Path | None = None
    board: str | None = None
    circles: str | None = None
    people: bool = False
    click: bool = False
    port: int = 0
    seconds: float | None = None
    within: float | None = None
    rig: Sequence[str] = ()
    distance: float | None = None
    to: Path | None = None
    picture: Path | None = None
    save: Path | None = None
    force: bool = False


@dataclass(frozen=True, eq=False)
class Alignment:
    """What came out.

    Attributes:
        found: each camera.
        parallax: for a person, of those whose rig is known.
        written: files.
    """

    found: Mapping[Modality, Aligned]
    parallax: Mapping[Modality, str] = field(default_factory=dict)
    written: Sequence[Path] = ()


@dataclass(frozen=True)
class Rig:
    """What the cameras are.

    Attributes:
        sources: where frames come from.
        timing: how they are matched; None for what suits the recordings.
        ranges: values of black and white of 16-bit pixels.
        boxes: how a node with them finds people.
    """

    sources: Mapping[Modality, SourceSettings]
    timing: TrackTiming | None = None
    ranges: Mapping[Modality, Range] = field(default_factory=dict)
    boxes: BoxSettings = field(default_factory=BoxSettings)


def run_align(
    asked: AlignRequest,
    notify: Notify = lambda *_: None,
    notify_page: Callable[[str], None] = lambda _url: None,
) -> Alignment:
    """Do what is asked: nothing is written before all of it is there.

    Args:
        asked: what.
        notify: told how far it is.
        notify_page: told the address at which points are to be clicked.

    Raises:
        DenetError: something that is asked cannot be done; names it.
    """
    outputs = _outputs(asked)
    rigs = _rigs(asked)
    for path, kind in outputs:
        check_output(path, kind, NodeError, replace=asked.force)
    board = _board(asked)
    rig = _rig(asked)
    points, seen = _points(asked, rig, board, notify, notify_page)
    found = align(points, asked.within, LOOSE if asked.people else WITHIN)
    content: dict[Path, bytes] = {}
    if asked.to is not None:
        content[asked.to] = calibration_text(views_of(points, found), found).encode()
    if asked.save is not None:
        content[asked.save] = points.text().encode()
    if asked.picture is not None:
        content[asked.picture] = _picture(seen, points, found)
    told = {
        m: parallax_line(each.view.size[0], *rigs[m], asked.distance)
        for m, each in found.items()
        if m in rigs and asked.distance is not None
    }
    kinds = dict(outputs)
    writers = {
        path: (kinds[path], partial(Path.write_bytes, data=text)) for path, text in content.items()
    }
    write_together(writers, NodeError, replace=asked.force)
    return Alignment(found, told, list(content))


def _outputs(asked: AlignRequest) -> list[tuple[Path, OutputKind]]:
    wanted = ((asked.to, CALIBRATION), (asked.picture, OVERLAY), (asked.save, POINTS))
    return [(path, kind) for path, kind in wanted if path is not None]


def _board(asked: AlignRequest) -> Board | None:
    ways = {
        "--points": asked.points is not None,
        "--board": asked.board is not None,
        "--circles": asked.circles is not None,
        "--people": asked.people,
        "--click": asked.click,
    }
    chosen = [way for way, is_chosen in ways.items() if is_chosen]
    if len(chosen) != 1:
        raise NodeError(
            f"{' and '.join(chosen) or 'points'}: say where points come from by one of "
            f"{', '.join(ways)}"
        )
    if asked.board is not None:
        return parse_board(asked.board, circles=False, option="--board")
    if asked.circles is not None:
        return parse_board(asked.circles, circles=True, option="--circles")
    return None


def _rigs(asked: AlignRequest) -> dict[Modality, tuple[float, float]]:
    rigs = {m: (baseline, angle) for m, baseline, angle in map(parse_rig, asked.rig)}
    if bool(rigs) != (asked.distance is not None):
        raise NodeError(
            "--rig and --distance go together: the error of parallax depends on both cameras, and "
            "on how far the points were"
        )
    return rigs


def _rig(asked: AlignRequest) -> Rig | None:
    """The cameras; None where none are named."""
    if asked.config is not None and asked.sources:
        raise NodeError("--source: the configuration has sources: name either of them")
    if asked.config is None and asked.head is not None:
        raise NodeError("--head: is of a configuration: name that first")
    if asked.config is not None:
        settings = one_head(read_settings(asked.config), asked.head)
        return Rig(settings.sources, settings.timing, settings.ranges, settings.boxes)
    if not asked.sources:
        return None
    found = {}
    for text in asked.sources:
        modality, equals, url = text.partition("=")
        if not (equals and url) or modality not in FOLDERS:
            raise NodeError(f"--source {text}: write one of {', '.join(FOLDERS)}, = and a url")
        rate = asked.rate if url.startswith(("folder:", "file:")) else None
        found[modality] = SourceSettings(url=url, rate=rate)
    return Rig({m: found[m] for m in FOLDERS if m in found})


def _points(
    asked: AlignRequest,
    rig: Rig | None,
    board: Board | None,
    notify: Notify,
    notify_page: Callable[[str], None],
) -> tuple[PointFile, SeenFrames]:
    if asked.points is not None:
        points = read_points(asked.points)
        if rig is None:
            if asked.picture is not None:
                raise NodeError("--picture: of what? Name a configuration or sources, too")
            return points, SeenFrames()
        return points, _fitting(points, look(_moments(rig, asked)), asked.points)
    if rig is None:
        raise NodeError("sources: none is named: give a configuration, or --source for each camera")
    if REFERENCE not in rig.sources or len(rig.sources) < 2:
        raise NodeError(
            f"sources: {', '.join(rig.sources)}: homographies start at {REFERENCE} and lead to the "
            "others: name both"
        )
    if board is not None:
        return find_boards(
            _moments(rig, asked),
            board,
            rig.ranges,
            lambda done, counts: notify(f"boards: {_counted(counts)}", done),
        )
    if asked.click:
        page = ClickPage(iter(_moments(rig, asked)), rig.sources, asked.within, asked.port)
        notify_page(page.url)
        return page.run()
    people = People(people_finders(rig.boxes, tuple(rig.sources), rig.ranges))
    return find_people(
        _moments(rig, asked),
        people,
        asked.within,
        lambda done, both: notify(f"moments with people: {both}", done),
    )


def _moments(rig: Rig, asked: AlignRequest) -> Iterable[Moment]:
    seconds = asked.seconds
    if (
        seconds is None
        and not asked.click
        and any(s.live for s in open_sources(rig.sources).values())
    ):
        seconds = OF_CAMERAS
    return moments(rig.sources, rig.timing, seconds)


def _fitting(points: PointFile, seen: SeenFrames, path: Path) -> SeenFrames:
    for m, size in seen.sizes.items():
        if m in points.sizes and points.sizes[m] != size:
            raise NodeError(
                f"{path}: sizes: {m} is {points.sizes[m][0]}x{points.sizes[m][1]}, and its frames "
                f"are {size[0]}x{size[1]}"
            )
    return seen


def _picture(seen: SeenFrames, points: PointFile, found: Mapping[Modality, Aligned]) -> bytes:
    lacking = [m for m in (REFERENCE, *found) if m not in seen.frames]
    if lacking:
        raise NodeError(
            f"--picture: {' and '.join(lacking)}: has no frame at one moment with the others"
        )
    return overlay({m: seen.frames[m] for m in points.sizes if m in seen.frames}, found)


def _counted(counts: Mapping[Modality, int]) -> str:
    return ", ".join(f"{n} of {m}" for m, n in counts.items()) or "none"
