"""By which scores a node compares: those of a file, or those that its bundle carries."""

from __future__ import annotations

from pathlib import Path

from runtime.gallery import GalleryError, Scores, Space, read_scores

USUAL_RATE = 1e-3
"""False-match rate of a match where none is set: of one comparison with a stranger."""


def choose_scores(
    file: str | None, threshold: float | None, space: Space, carried: Scores | None
) -> Scores | None:
    """What is set on purpose goes before what the bundle carries.

    Args:
        file: of `denet gallery calibrate`, as it is set.
        threshold: of cosines, as it is set: then there are no scores.
        space: of the embeddings.
        carried: by the bundle.

    Raises:
        GalleryError: the file cannot be read, or is of another space.
    """
    if file is not None:
        return read_scores(Path(file), space)
    return carried if threshold is None else None


def least_match(scores: Scores | None, threshold: float | None, rate: float | None) -> float:
    """The least score of a match. There is always one: to be the most alike of those who are known
    is no reason to be one of them.

    Args:
        scores: chosen; None for cosines.
        threshold: of cosines, as it is set.
        rate: false-match rate, as it is set; `USUAL_RATE` where it is not.

    Raises:
        GalleryError: there are neither scores nor a threshold, or the scores cannot tell the rate.
    """
    if scores is not None:
        try:
            return scores.threshold(USUAL_RATE if rate is None else rate)
        except GalleryError as error:
            raise GalleryError(f"gallery.fmr: {error}") from None
    if threshold is None:
        raise GalleryError(
            "gallery: nobody is matched, since nothing says how alike strangers are: have the "
            "bundle carry it (`denet gallery calibrate BUNDLE DATA`), name a file of such scores "
            "as gallery.scores, or set a cosine on purpose as gallery.threshold"
        )
    return threshold
