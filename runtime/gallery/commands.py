"""`denet gallery`: enrol people from images, and search for whom other images show."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import print_json, print_whole, progress, reported, say, say_aside
from denet.options import (
    BatchOpt,
    ImageOptions,
    ImagesArg,
    JsonOpt,
    RangesOpt,
    RuntimeOptions,
    grouped,
)
from denet.progress import counted

if TYPE_CHECKING:
    from runtime.gallery.scores import Scores
    from runtime.gallery.sightings import Sightings
    from runtime.gallery.space import Space

gallery = typer.Typer(
    help="Enrol people from images, and search for whom other images show.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

GalleryArg = Annotated[
    str,
    typer.Argument(
        metavar="GALLERY",
        help="The gallery's file: [b]gallery.db[/b], or file:gallery.db; or "
        "postgresql://USER@HOST/DATABASE.",
    ),
]

ScoresOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="JSON",
        help="Compare by false-match rate: what [b]denet gallery calibrate --out[/b] wrote. "
        "Default: what the bundle carries.",
    ),
]

UNKNOWN = (
    "how alike strangers are is not known: have the bundle carry it (`denet gallery calibrate`)"
)


@dataclass(frozen=True)
class SampleOptions:
    """Where embeddings are from: images and the bundle that embeds them, or a file of them."""

    images: ImagesArg = None
    through: Annotated[
        Path | None, typer.Option("--bundle", help="The bundle that embeds the images.")
    ] = None
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="NPZ",
            help="Embeddings, instead of images: what [b]denet embed --out[/b] wrote.",
        ),
    ] = None


@gallery.command("enrol")
@reported()
@grouped
def enrol(
    setting: GalleryArg,
    *,
    samples: SampleOptions,
    single: ImageOptions,
    identity: Annotated[
        str | None,
        typer.Option(
            help="Identity that all of them show. Default: each file name says it, up to its first "
            "underscore: alice_2.jpg is alice."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Storage of a new gallery: [b]float16[/b] (default), [b]float32[/b] or "
            "[b]int8[/b]."
        ),
    ] = None,
    scores: ScoresOpt = None,
    ranges: RangesOpt = None,
    running: RuntimeOptions,
    batch: BatchOpt = 16,
    as_json: JsonOpt = False,
) -> None:
    """Remember people: add their embeddings to a gallery, which is made if need be. Warns where
    they are nearer to each other than strangers are."""
    from runtime.gallery.confusable import find_confusable
    from runtime.gallery.opening import check_setting, open_gallery

    check_setting(setting, storage)
    seen = sightings(samples, single, running, batch, ranges)
    table = known_scores(scores, samples.through, seen.space)
    enrolments = seen.enrolments(identity)
    with open_gallery(setting, create=True, storage=storage) as opened:
        ids = opened.enrol(seen.space, enrolments)
        near = None if table is None else find_confusable(opened, seen.space, enrolments, table)
    if as_json:
        facts = [{"entry": i, "identity": e.identity} for i, e in zip(ids, enrolments, strict=True)]
        pairs = None if near is None else [asdict(pair) for pair in near.pairs]
        print_json({"gallery": setting, "enrolled": facts, "near": pairs})
        return
    names = list(dict.fromkeys(enrolment.identity for enrolment in enrolments))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    say(f"{setting}: enrolled {', '.join(names[:3])}{more}, new entries: {len(ids)}")
    for line in [UNKNOWN] if near is None else near.lines():
        say_aside(line)


@gallery.command("search")
@reported()
@grouped
def search(
    setting: GalleryArg,
    *,
    samples: SampleOptions,
    single: ImageOptions,
    top: Annotated[int, typer.Option(min=1, help="Identities shown for each, at most.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(help="The least cosine of a match; in the place of scores.")
    ] = None,
    scores: ScoresOpt = None,
    fmr: Annotated[
        float | None,
        typer.Option(
            help="The greatest false-match rate of a match, as 0.001: what share of strangers may "
            "pass, of each comparison; needs scores."
        ),
    ] = None,
    ranges: RangesOpt = None,
    running: RuntimeOptions,
    batch: BatchOpt = 16,
    as_json: JsonOpt = False,
) -> None:
    """Find out whom images show: the best identities of a gallery for each of them."""
    from runtime.gallery.describe import match_facts, match_table
    from runtime.gallery.opening import open_gallery
    from runtime.gallery.scores import check_limits, least_score

    carried = threshold is None and carries_scores(samples.through)
    check_limits(threshold, fmr, scored=scores is not None or carried)
    with open_gallery(setting) as opened:
        seen = sightings(samples, single, running, batch, ranges)
        table = None
        if threshold is None:
            table = known_scores(scores, samples.through, seen.space)
        least = least_score(table, threshold, fmr)
        found = opened.search(seen.space, seen.embeddings, seen.states, top=top, scores=table)
    kept = [[match for match in matches if match.score >= least] for matches in found]
    if as_json:
        print_json({"gallery": setting, "queries": match_facts(seen, kept, table)})
        return
    print_whole(match_table(seen, kept, table))
    if table is None and threshold is None:
        say_aside("the most alike are shown, which is no match: " + UNKNOWN)


@gallery.command("list")
@reported()
def list_entries(
    setting: GalleryArg,
    identity: Annotated[
        str | None, typer.Option(help="Show the entries of this identity, one by one.")
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Show whom a gallery has."""
    from runtime.gallery.describe import entry_facts, entry_table, identity_table
    from runtime.gallery.opening import open_gallery

    with open_gallery(setting) as opened:
        entries = opened.entries(identity)
    if as_json:
        print_json({"gallery": setting, "entries": entry_facts(entries)})
    else:
        print_whole(identity_table(entries) if identity is None else entry_table(entries))


@gallery.command("remove")
@reported()
def remove(
    setting: GalleryArg,
    identity: Annotated[str, typer.Argument(help="Identity to forget.")],
    entry: Annotated[
        int | None,
        typer.Option(help="Entry to remove alone; [b]list --identity[/b] shows them."),
    ] = None,
) -> None:
    """Forget an identity, or one entry of it."""
    from runtime.gallery.opening import open_gallery

    with open_gallery(setting) as opened:
        gone = opened.remove(identity, entry)
    say(f"{setting}: entries of {identity} removed: {gone}")


@gallery.command("backup")
@reported()
def backup(
    setting: GalleryArg,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a gallery at OUT.")] = False,
) -> None:
    """Copy a gallery's file, which may be in use, and see that the copy is whole."""
    from denet.outputs import check_output
    from runtime.gallery.copying import BACKUP
    from runtime.gallery.opening import open_file
    from runtime.gallery.space import GalleryError

    check_output(out, BACKUP, GalleryError, replace=force)
    with open_file(setting) as opened:
        count = opened.backup(out)
    say(f"{setting}: copied to {out}, entries: {count}")


@gallery.command("check")
@reported()
def check(setting: GalleryArg) -> None:
    """Read all of a gallery, and see that nothing in it is damaged."""
    from runtime.gallery.opening import open_gallery

    with open_gallery(setting, read_only=True) as opened:
        count = opened.check()
    say(f"{setting}: whole, entries: {count}")


@gallery.command("move")
@reported()
def move(
    source: GalleryArg,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A gallery that is new: a file, or PostgreSQL.")
    ],
) -> None:
    """Copy all of a gallery to another place, with its ids, and see that it is whole there."""
    from runtime.gallery.managed import move as copy
    from runtime.gallery.opening import check_setting, open_gallery

    with open_gallery(source, read_only=True) as old:
        with old.whole() as (holding, _):
            storage = None if holding.bare else holding.storage
        check_setting(target, storage)
        with open_gallery(target, create=True, storage=storage) as new:
            count = copy(old, new)
    say(f"{source}: copied to {target}, entries: {count}; it is still there: delete it yourself")


@gallery.command("expire")
@reported()
def expire(
    setting: GalleryArg,
    days: Annotated[float, typer.Option(min=0, help="Age of what is forgotten, in days.")],
) -> None:
    """Forget the entries whose samples are older than some days."""
    from runtime.gallery.opening import open_gallery

    with open_gallery(setting) as opened:
        count = opened.expire(time.time() - 86400 * days)
    say(f"{setting}: entries older than {days:g} days removed: {count}")


@gallery.command("erase")
@reported()
def erase(
    setting: GalleryArg,
    identity: Annotated[str, typer.Argument(help="Identity to forget for good.")],
    as_json: JsonOpt = False,
) -> None:
    """Forget an identity, write the gallery's files anew without it, and say what remains."""
    from runtime.gallery.opening import open_gallery

    with open_gallery(setting) as opened:
        erased = opened.erase(identity)
    if as_json:
        print_json(
            {
                "gallery": setting,
                "identity": identity,
                "erased": erased.entries,
                "overwritten": erased.overwritten,
                "remains": list(erased.remains),
            }
        )
        return
    say(f"{setting}: entries of {identity} erased: {erased.entries}")
    say("What may still hold this person, and is yours to see to:")
    for place in erased.remains:
        say(f"- {place}")


@gallery.command("roles")
@reported()
def roles(
    setting: GalleryArg,
    reads: Annotated[str, typer.Option("--read", help="Role that may search.")] = "denet_read",
    enrols: Annotated[
        str, typer.Option("--enrol", help="Role that may enrol, too.")
    ] = "denet_enrol",
) -> None:
    """Let roles of PostgreSQL use a gallery: one that reads, and one that enrols."""
    from runtime.gallery.opening import open_central

    with open_central(setting) as opened:
        made = opened.give_roles(reads, enrols)
    new = f" (made: {', '.join(made)})" if made else ""
    say(f"{setting}: {reads} may search, {enrols} may enrol, too{new}")


@gallery.command("index")
@reported()
def index(
    setting: GalleryArg,
    queries: Annotated[
        int, typer.Option(min=1, help="Searches by which recall is measured.")
    ] = 100,
    as_json: JsonOpt = False,
) -> None:
    """Make indexes for search=approximate in PostgreSQL, and measure what such a search misses."""
    from runtime.gallery.opening import open_central

    with open_central(setting) as opened:
        recall = opened.index(queries)
    if as_json:
        print_json({"gallery": setting, "recall": asdict(recall)})
        return
    say(
        f"{setting}: an approximate search finds {100 * recall.mean:.1f} % of the 10 best (at "
        f"least {100 * recall.least:.0f} % in {recall.queries} searches) in "
        f"{1e3 * recall.approximate:.1f} ms; an exact one takes {1e3 * recall.exact:.1f} ms"
    )


def carries_scores(bundle: Path | None) -> bool:
    """Whether there is a bundle, and it carries scores."""
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.manifest import File

    return bundle is not None and isinstance(Bundle.open(bundle).manifest.scores, File)


def known_scores(file: Path | None, bundle: Path | None, space: Space) -> Scores | None:
    """The scores of a file that is named, or those that the bundle carries; None without any."""
    from runtime.bundle.bundle import Bundle
    from runtime.gallery.scores import carried_scores, read_scores

    if file is not None:
        return read_scores(file, space)
    return None if bundle is None else carried_scores(Bundle.open(bundle))


def sightings(
    samples: SampleOptions,
    single: ImageOptions,
    running: RuntimeOptions,
    batch: int,
    ranges: list[str] | None,
) -> Sightings:
    """Embeddings to enrol or to search for: of images, or of a file."""
    from runtime.bundle.bundle import Bundle
    from runtime.gallery.sightings import check_given, of_images, read_sightings
    from runtime.loading import loaded, read_ranges
    from runtime.samples import choose_samples

    folder, bundle = samples.images, samples.through
    check_given(folder, single.files, bundle, samples.embeddings)
    if samples.embeddings is not None:
        return read_sightings(samples.embeddings)
    assert bundle is not None
    opened = Bundle.open(bundle)
    chosen = choose_samples(folder, single.files, state=None, every_state=False, graph=opened.graph)
    states = {opened.graph.state(sample.files) for sample in chosen}
    known = read_ranges(ranges, opened.graph)
    with (
        loaded(opened, running, batch, states=states, ranges=known) as runtime,
        progress("embedding", len(chosen)) as notify,
    ):
        more = counted(notify, "embedding", len(chosen))
        return of_images(runtime, chosen, str(folder or "given"), more)
