"""Cosines to false-match rates: what makes entries of different states comparable.

Two strangers seen in RGB alone are more alike to the network than two seen in all three
modalities. So a cosine means another thing for each state of the query and each state of the
entry, and one threshold on it would let strangers in where sensors failed. A table measured by
`denet gallery calibrate` tells for each of the 7 x 7 pairs of states how often strangers reach a
cosine, and the score is -log10 of that: a score of 3 is reached by one in 1,000 pairs of strangers,
whatever the states.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.graph import State, StateError
from denet.reading import read_file, reading
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import File
from runtime.gallery.space import GalleryError, Space
from runtime.states import read_state

RATES_PER_DECADE = 20

LEAST_ERRORS = 30
"""Pairs of strangers that must lie above a threshold for its rate to be told: with 30 of them, the
rate is within 30 % of the true one at 90 % confidence (Doddington's rule of 30), if the pairs are
independent. Those of one person are not quite, so take it as the least."""

UNIT = 1e-3
"""How far beyond 1 a cosine may be by rounding."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was measured of one state of the query against one state of the entry.

    Attributes:
        impostors: pairs of samples of different people.
        genuine: pairs of samples of one person, seen by different cameras.
        cosines: the least cosine that no greater share of the impostors reaches than the rate at
            the same place of `ScoreTable.rates`; as many as there are impostors for.
        found: the share of the genuine that reaches that cosine.
    """

    impostors: Annotated[int, msgspec.Meta(ge=1)]
    genuine: Annotated[int, msgspec.Meta(ge=0)]
    cosines: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)]
    found: tuple[Share, ...]


class ScoreTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file of scores.

    Attributes:
        dim, checkpoint, projection: of the `Space` whose cosines it knows.
        data: what it was measured on, for a person.
        variant: of the bundle that made the embeddings, such as "int8-vnni".
        identities: how many people.
        rates: false-match rates, falling from 1.
        pairs: by the name of the query's state, then of the entry's.
        schema: 1 of files from before there was a digest.
        digest: sha256 of all else, see `sealed`.
    """

    format: Literal["denet-scores"] = "denet-scores"
    schema: Literal[1, 2] = 2
    dim: int
    checkpoint: str
    projection: str
    data: str
    variant: str
    identities: int
    rates: tuple[Share, ...]
    pairs: dict[str, dict[str, Pair]]
    digest: str = ""


def sealed(table: ScoreTable) -> ScoreTable:
    """A table with the digest of what it holds: of its JSON without `digest`, with sorted keys and
    nothing between, as Python's `json` writes it."""
    facts = msgspec.to_builtins(table)
    del facts["digest"]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return msgspec.structs.replace(table, digest=hashlib.sha256(text.encode()).hexdigest())


def scores_text(table: ScoreTable) -> bytes:
    """The file of a table."""
    encoded = msgspec.json.encode(sealed(table), order="deterministic")
    return msgspec.json.format(encoded, indent=1) + b"\n"


class Scores:
    """A table of scores, ready to use.

    Args:
        table: what was measured.
        name: of its file, for messages.

    Raises:
        GalleryError: the table contradicts itself.
    """

    def __init__(self, table: ScoreTable, name: str) -> None:
        self.table = table
        self.space = Space(table.dim, table.checkpoint, table.projection)
        self.name = name
        try:
            _check_rates(table.rates)
            self._curves = {
                (read_state(q), read_state(g)): _curve(table.rates, pair)
                for q, row in table.pairs.items()
                for g, pair in row.items()
            }
        except (StateError, ValueError) as error:
            raise GalleryError(f"{name}: damaged: {error}") from None
        if not self._curves:
            raise GalleryError(f"{name}: knows no pair of states")
        # All end at one score. A pair that was measured on more impostors could show a higher one,
        # and would then win over a better match in another state.
        self._most = min(float(curve[1][-1]) for curve in self._curves.values())

    def score(
        self, query: State, entry: State, cosines: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """-log10 of the false-match rate at each cosine; it never falls where cosines rise.

        It ends where the impostors do: beyond their greatest cosine nothing is known, and the
        score stays what so many of them can tell.

        Raises:
            GalleryError: this pair of states was not measured.
        """
        if (query, entry) not in self._curves:
            raise GalleryError(
                f"{self.name}: was not measured for queries in {query} against entries in {entry}: "
                "calibrate with data that has these modalities"
            )
        return np.minimum(np.interp(cosines, *self._curves[query, entry]), self._most)

    def threshold(self, rate: float) -> float:
        """The least score of a match at a false-match rate of `rate` for each comparison.

        Raises:
            GalleryError: it is no rate, or less than was measured.
        """
        if not 0 < rate <= 1:
            raise GalleryError(f"false-match rate {rate:g}: give a share between 0 and 1, as 0.001")
        if rate < self.least_rate:
            raise GalleryError(
                f"{self.name}: a false-match rate of {rate:g} cannot be told from it: the least is "
                f"{self.least_rate:.2g}, where {LEAST_ERRORS} impostors are left: calibrate with "
                "more people, or ask for a higher rate"
            )
        return float(-np.log10(rate))

    def found(self, rate: float) -> dict[tuple[State, State], float]:
        """The share of genuine pairs that is found at a false-match rate, for each pair of states,
        query first. Where so low a rate was not measured, at the least that was."""
        rates = np.asarray(self.table.rates)
        place = int(np.flatnonzero(rates >= rate * (1 - 1e-9))[-1])
        return {
            (read_state(q), read_state(g)): pair.found[min(place, len(pair.found) - 1)]
            for q, row in self.table.pairs.items()
            for g, pair in row.items()
        }

    @property
    def least_rate(self) -> float:
        """The least false-match rate that every pair of states has the impostors for."""
        fewest = min(pair.impostors for row in self.table.pairs.values() for pair in row.values())
        return min(1.0, LEAST_ERRORS / fewest)


def rates_for(impostors: int) -> NDArray[np.float64]:
    """False-match rates from 1 down to the least that so many impostors can show."""
    steps = int(np.log10(impostors) * RATES_PER_DECADE)
    return 10.0 ** (-np.arange(steps + 1) / RATES_PER_DECADE)


def check_limits(threshold: float | None, rate: float | None, *, scored: bool) -> None:
    """See that a limit of matches goes with what they are compared by, before work is done.

    Args:
        threshold: the least cosine.
        rate: the greatest false-match rate.
        scored: whether `Scores` are given.

    Raises:
        GalleryError: it does not.
    """
    if scored and threshold is not None:
        raise GalleryError(
            "--threshold is of cosines, which --scores replaces: say --fmr, the false-match rate"
        )
    if rate is not None and not scored:
        raise GalleryError(
            "--fmr needs --scores, a file that `denet gallery calibrate` makes, or a --bundle that "
            "carries its own; without there is --threshold, of cosines"
        )


def least_score(scores: Scores | None, threshold: float | None, rate: float | None) -> float:
    """The least score of a match, by what `check_limits` let pass; any where there is no limit.

    Raises:
        GalleryError: `scores` cannot tell such a rate.
    """
    if scores is not None and rate is not None:
        return scores.threshold(rate)
    return -np.inf if threshold is None else threshold


def read_scores(path: Path, space: Space) -> Scores:
    """The file of scores at `path`.

    Args:
        path: as `denet gallery calibrate` writes it.
        space: of the embeddings that it is wanted for.

    Raises:
        GalleryError: it cannot be read, is damaged, or is of another space.
    """
    return _decoded(path, read_file(path, GalleryError), space)


def carried_scores(bundle: Bundle) -> Scores | None:
    """The scores that a bundle carries, of its own embeddings; None if it carries none.

    Raises:
        BundleError: their file is damaged.
        GalleryError: they are of another space: somebody put a file there that is not the bundle's.
    """
    file = bundle.manifest.scores
    if not isinstance(file, File):
        return None
    return _decoded(bundle.root / file.path, bundle.read(file), Space.of(bundle.manifest))


def _decoded(path: Path, content: bytes, space: Space) -> Scores:
    with reading(path, GalleryError, "not a file of scores of `denet gallery calibrate`"):
        table = msgspec.json.decode(content, type=ScoreTable)
    if table.schema > 1 and table != sealed(table):
        raise GalleryError(
            f"{path}: damaged or changed: it is not what was written: take a copy, or measure "
            "again with `denet gallery calibrate`"
        )
    scores = Scores(table, str(path))
    scores.space.require(space, str(path))
    return scores


def _check_rates(rates: tuple[float, ...]) -> None:
    if not rates or rates[0] != 1 or min(rates) <= 0 or np.any(np.diff(rates) >= 0):
        raise ValueError("rates do not fall from 1")


def _curve(rates: tuple[float, ...], pair: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines, rising, and the score at each."""
    if not len(rates) >= len(pair.cosines) == len(pair.found):
        raise ValueError("rates and cosines do not fit")
    cosines = np.asarray(pair.cosines)
    # NaN, which JSON cannot hold anyway, is in no range.
    if np.any(np.diff(cosines) < 0) or not np.all(np.abs(cosines) <= 1 + UNIT):
        raise ValueError("cosines do not rise from -1 to 1")
    if np.any(np.diff(pair.found) > 0):
        raise ValueError("shares that are found do not fall")
    # Where impostors are alike, one cosine has several rates: the greatest of them is true.
    kept, first = np.unique(cosines, return_index=True)
    return kept, -np.log10(np.asarray(rates)[first])
