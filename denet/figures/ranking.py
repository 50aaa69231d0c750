"""Ranking lists (the paper's Fig. 8): a query, and what the gallery answers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from denet.data.records import Record
from denet.evaluate import Embed, Split
from denet.figures.canvas import GAP, Canvas, Pixels, pixels_of, thumbnail_size
from denet.figures.style import INK, MUTED, RIGHT, WRONG
from denet.graph import Modality, State
from denet.pixels import Range

TOP = 10

LABELS = 104
"""Width of the words left of the images, in pixels."""

HEAD = 50
"""Height of the words above the images, in pixels."""

BLOCK_GAP = 16
"""Between two lists, in pixels."""


@dataclass(frozen=True)
class RankedList:
    """The beginning of what a query finds in one missing state.

    Attributes:
        query: the sample to search with, within the state.
        state: what is available, of the query and of the gallery.
        found: gallery items, the most similar first, within the state, and whether each is the
            query's identity.
    """

    query: Record
    state: State
    found: tuple[tuple[Record, bool], ...]


def ranked_lists(
    embed: Embed, split: Split, queries: Sequence[int], states: Sequence[State]
) -> list[RankedList]:
    """The first items that each of `queries` finds, in each of `states`.

    As `denet.metrics.rank` does, items of the query's identity and camera are left out, and ties
    go to the earlier gallery item.

    Raises:
        DataError: a sample lacks a modality of a state.
    """
    identities = np.array([record.identity for record in split.gallery])
    cameras = np.array([record.camera for record in split.gallery])
    gallery = {state: embed(split.gallery, [state] * len(split.gallery)) for state in states}
    lists: list[RankedList] = []
    for query in queries:
        record = split.query[query]
        own = (identities == record.identity) & (cameras == record.camera)
        for state in states:
            similarity = embed([record], [state]) @ gallery[state].T
            order = np.argsort(-similarity[0], kind="stable")
            found = order[~own[order]][:TOP]
            items = tuple(
                (split.gallery[i].within(state), bool(identities[i] == record.identity))
                for i in found
            )
            lists.append(RankedList(record.within(state), state, items))
    return lists


def ranking_figure(
    lists: Sequence[RankedList],
    ranges: Mapping[Modality, Range],
    *,
    only: Modality | None = None,
    labels: Sequence[str] = (),
) -> Figure:
    """Each list: a row for each available modality, the query and then what it finds.

    Green frames are right, red ones wrong.

    Args:
        lists: at least one.
        ranges: of each modality, the 16-bit values that become black and white.
        only: show images of this modality alone, as the paper does; available in every list.
        labels: what each list is called; by default its state.

    Raises:
        DataError: an image cannot be read.
    """
    size = wide, tall = thumbnail_size(next(iter(pixels_of(lists[0].query, ranges).values())))
    shown_of = [(only,) if only else ranked.state.available for ranked in lists]
    rows = sum(map(len, shown_of))
    start = LABELS + wide + 3 * GAP
    canvas = Canvas(
        start + TOP * (wide + GAP) + GAP,
        HEAD + rows * (tall + GAP) + len(lists) * BLOCK_GAP,
    )
    canvas.text(GAP, 14, "Ranking lists", va="center", fontweight="bold", fontsize=10)
    canvas.text(LABELS + wide / 2, HEAD - 10, "query", ha="center", va="center", color=MUTED)
    for place in range(TOP):
        x = start + place * (wide + GAP) + wide / 2
        canvas.text(x, HEAD - 10, str(place + 1), ha="center", va="center", color=MUTED)
    y = HEAD
    names = labels or [ranked.state.name for ranked in lists]
    for ranked, modalities, name in zip(lists, shown_of, names, strict=True):
        canvas.text(GAP, y + 8, name, va="center", color=INK, fontweight="bold")
        words = f"identity {ranked.query.identity}\ncamera {ranked.query.camera + 1}"
        canvas.text(GAP, y + 20, words, va="top", color=MUTED, fontsize=8, linespacing=1.4)
        shown: list[tuple[int, dict[Modality, Pixels], str | None]] = [
            (LABELS, pixels_of(ranked.query, ranges), None)
        ]
        for place, (item, right) in enumerate(ranked.found):
            color = RIGHT if right else WRONG
            shown.append((start + place * (wide + GAP), pixels_of(item, ranges), color))
        for modality in modalities:
            for x, pixels, frame in shown:
                canvas.image(pixels[modality], x, y, size, frame)
            y += tall + GAP
        y += BLOCK_GAP
    return canvas.finish()
