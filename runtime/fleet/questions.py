"""`denet fleet search`, `follow` and `count`: questions to an archive."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from denet.console import print_json, print_whole, reported, say
from denet.options import ImageOptions, ImagesArg, JsonOpt, RangesOpt, RuntimeOptions, grouped
from runtime.fleet.installed import read_installed
from runtime.fleet.wording import PROBABLY

if TYPE_CHECKING:
    from runtime.fleet.pooled_tracks import Which
    from runtime.fleet.searching import SoughtPerson
    from runtime.gallery.sightings import Sightings
    from runtime.postgres.connecting import Connection

ConfigOpt = Annotated[
    Path,
    typer.Option(
        "--config", metavar="TOML", envvar="DENET_FLEET", help="The fleet's configuration."
    ),
]

PicturesOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Write the best picture of each track into a folder that is new."
    ),
]

USUAL = Path("fleet.toml")


@dataclass(frozen=True)
class WhichOptions:
    """The tracks that a question is about."""

    since: Annotated[
        str | None,
        typer.Option(help="Seen since then: [b]yesterday[/b], 14:30, 2h, 2026-03-14."),
    ] = None
    until: Annotated[str | None, typer.Option(help="Seen before that.")] = None
    camera: Annotated[
        str | None, typer.Option(help="Seen by cameras of such names: [b]'gate-*,door'[/b].")
    ] = None

    def read(self, connection: Connection) -> Which:
        """What is asked for, of what there is."""
        from runtime.fleet.pooled_tracks import Which, choose_cameras
        from runtime.fleet.times import read_interval

        interval = read_interval(self.since, self.until, time.time())
        return Which(interval, choose_cameras(connection, self.camera))


@reported()
@grouped
def search(
    images: ImagesArg = None,
    *,
    single: ImageOptions,
    which: WhichOptions,
    top: Annotated[int, typer.Option(min=1, max=1000, help="Tracks shown, at most.")] = 10,
    fmr: Annotated[
        float,
        typer.Option(
            min=1e-12, max=1, help="False-match rate up to which it is probably the same person."
        ),
    ] = PROBABLY,
    through: Annotated[
        Path | None,
        typer.Option("--bundle", help="The bundle that embeds, if not that of the configuration."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(metavar="NPZ", help="What [b]denet embed --out[/b] wrote, for images."),
    ] = None,
    pictures: PicturesOpt = None,
    config: ConfigOpt = USUAL,
    ranges: RangesOpt = None,
    running: RuntimeOptions,
    as_json: JsonOpt = False,
) -> None:
    """Find the tracks of whom images show: all images are of one person."""
    from runtime.fleet.answers import found_facts, found_lines, found_table
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.pictures import check_folder, write_pictures
    from runtime.fleet.score_file import score_file
    from runtime.fleet.searching import compared_tracks, find_tracks
    from runtime.gallery.commands import SampleOptions, sightings

    settings = read_installed(config)
    check_folder(pictures)
    scores = score_file(settings.questions)
    bundle = through or (settings.questions.bundle and Path(settings.questions.bundle)) or None
    given = SampleOptions(images, None if embeddings else bundle, embeddings)
    with opened_archive(settings) as connection:
        asked = which.read(connection)
        seen = sightings(given, single, running, 16, ranges)
        person = person_of(connection, seen, scores)
        found = find_tracks(connection, person, asked, top=top)
        compared = compared_tracks(connection, person.number, asked)
        if pictures is not None:
            written = write_pictures(connection, [each.track.key for each in found], pictures)
    if as_json:
        print_json({"compared": compared, "found": found_facts(found)})
        return
    if found:
        print_whole(found_table(found, fmr))
    for line in found_lines(found, compared):
        say(line)
    if pictures is not None:
        say(f"{pictures}: pictures: {written}")


@reported()
@grouped
def follow(
    track: Annotated[
        str,
        typer.Argument(metavar="TRACK", help="As CAMERA/TRACK, or its id; or that of an identity."),
    ],
    *,
    which: WhichOptions,
    fmr: Annotated[
        float,
        typer.Option(min=1e-12, max=1, help="The greatest false-match rate of a sighting."),
    ] = PROBABLY,
    looks: Annotated[
        bool,
        typer.Option("--looks", help="Compare with this track alone, whatever identity it has."),
    ] = False,
    pictures: PicturesOpt = None,
    config: ConfigOpt = USUAL,
    as_json: JsonOpt = False,
) -> None:
    """Show where else the person of a track was, from camera to camera."""
    from runtime.fleet.answers import found_facts, way_lines, way_table
    from runtime.fleet.following import find_start
    from runtime.fleet.following import follow as find_way
    from runtime.fleet.identities.ways import find_identity, identity_way
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.pictures import check_folder, write_pictures
    from runtime.fleet.score_file import score_file
    from runtime.fleet.searching import compared_tracks
    from runtime.fleet.wording import by_chance

    settings = read_installed(config)
    check_folder(pictures)
    scores = score_file(settings.questions)
    compared = 0
    with opened_archive(settings) as connection:
        asked = which.read(connection)
        key, identity = find_identity(connection, track, alone=looks)
        if identity is not None:
            way = identity_way(connection, identity, key, asked, scores)
        else:
            start, person = find_start(connection, key, scores)
            way = find_way(connection, start, person, asked, fmr)
            compared = compared_tracks(connection, person.number, asked)
        keys = [each.track.key for each in way.found]
        if way.start is not None:
            keys.insert(0, way.start.key)
        if pictures is not None:
            written = write_pictures(connection, keys, pictures)
    if as_json:
        facts: dict[str, Any] = {
            "identity": way.identity,
            "start": None if way.start is None else asdict(way.start),
            "compared": compared,
            "found": found_facts(way.found),
        }
        print_json(facts)
        return
    print_whole(way_table(way, fmr))
    for line in way_lines(way, track):
        say(line)
    if way.identity is None:
        say(f"{compared:,} tracks were compared: {by_chance(compared, fmr)}")
    if pictures is not None:
        say(f"{pictures}: pictures: {written}")


@reported()
@grouped
def count(
    *,
    which: WhichOptions,
    config: ConfigOpt = USUAL,
    as_json: JsonOpt = False,
) -> None:
    """Estimate how many different people passed."""
    from runtime.fleet.answers import count_lines
    from runtime.fleet.counting import count_people
    from runtime.fleet.opening import opened_archive
    from runtime.fleet.score_file import score_file

    settings = read_installed(config)
    scores = score_file(settings.questions)
    with opened_archive(settings) as connection:
        asked = which.read(connection)
        counted = count_people(connection, asked, scores, settings.identities)
    if as_json:
        print_json(asdict(counted))
        return
    for line in count_lines(counted):
        say(line)


def person_of(connection: Connection, seen: Sightings, scores: Path) -> SoughtPerson:
    """Whom samples show, all of them one person.

    Raises:
        FleetError: the archive has no tracks of their model.
        GalleryError: the scores cannot be read, or are of another model.
    """
    from runtime.fleet.pooled_tracks import space_number
    from runtime.fleet.searching import SoughtPerson
    from runtime.gallery.scores import read_scores
    from runtime.node.tracks.pooling import Pooled

    number = space_number(connection, seen.space, seen.source)
    pooled = Pooled(seen.space)
    for state, embedding in zip(seen.states, seen.embeddings, strict=True):
        pooled.add(state, embedding, 1.0)
    return SoughtPerson(pooled, number, read_scores(scores, seen.space))
