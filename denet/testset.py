"""The test half of a data set, seen to be usable."""

from __future__ import annotations

from denet.data.records import DataError, DataSet, Record, unmatched
from denet.evaluate import Split


def open_split(data: DataSet) -> Split:
    """Query and gallery of a data set.

    Raises:
        DataError: it has none, or no query has a match: a gallery item of the same identity, seen
            by another camera.
    """
    if not data.query:
        raise DataError(f"{data.root}: has no test data: an evaluation needs query and gallery")
    if len(unmatched(data.query, data.gallery)) == len(data.query):
        raise DataError(
            f"{data.root}: no query can be matched: the gallery shows no identity of theirs by "
            "another camera"
        )
    return Split(data.query, data.gallery, data.graph)


def all_samples(split: Split) -> tuple[Record, ...]:
    """Every sample of query and gallery once, where both may be the same records."""
    return split.query if split.query == split.gallery else (*split.query, *split.gallery)
