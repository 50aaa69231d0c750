"""t-SNE of embeddings (the paper's Fig. 6): does each identity stay together?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from denet.data.records import Record
from denet.evaluate import Split
from denet.figures.style import MUTED, new_figure
from denet.graph import State

IDENTITIES = 10
MARKERS = "os^DvPX*"


def choose_identities(split: Split, seed: int, count: int = IDENTITIES) -> list[Record]:
    """The gallery's samples of `count` identities that have matches, drawn from `seed`."""
    cameras: dict[int, set[int]] = {}
    for record in split.gallery:
        cameras.setdefault(record.identity, set()).add(record.camera)
    several = sorted(identity for identity, seen in cameras.items() if len(seen) > 1)
    drawn = np.random.default_rng(seed).permutation(several)[:count].tolist()
    return [record for record in split.gallery if record.identity in drawn]


def project(embeddings: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Embeddings (N, D), N at least 2, -> points (N, 2) by t-SNE, begun at the principal axes."""
    # A point has about as many neighbours as the perplexity says, so it must be well below N.
    perplexity = max(min(30.0, (len(embeddings) - 1) / 3), 1.0)
    points: NDArray[np.float32] = TSNE(
        perplexity=perplexity, init="pca", random_state=seed, n_jobs=1
    ).fit_transform(embeddings)
    return points


def clusters_figure(
    records: Sequence[Record], embeddings: Mapping[State, NDArray[np.float32]], seed: int
) -> Figure:
    """A panel for each state: a colour for each identity, a marker for each camera.

    Args:
        records: N samples, at least 2, of at most `IDENTITIES` identities.
        embeddings: state -> (N, D), of the same samples.
        seed: of t-SNE.
    """
    figure = new_figure(2.9 * len(embeddings), 3.6)
    figure.suptitle("Test identities by t-SNE", x=0.01, ha="left", fontsize=10, fontweight="bold")
    identities = sorted({record.identity for record in records})
    cameras = sorted({record.camera for record in records})
    colors = {identity: f"C{i}" for i, identity in enumerate(identities)}
    markers = {camera: MARKERS[i % len(MARKERS)] for i, camera in enumerate(cameras)}
    for number, (state, vectors) in enumerate(embeddings.items()):
        axes = figure.add_subplot(1, len(embeddings), number + 1)
        for (x, y), record in zip(project(vectors, seed), records, strict=True):
            axes.plot(
                x, y, markers[record.camera], color=colors[record.identity], markersize=4.5,
                markeredgecolor="white", markeredgewidth=0.4,
            )  # fmt: skip
        axes.set_title(state.name, fontsize=9, fontweight="normal")
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("top", "right"):
            axes.spines[side].set_visible(True)
    handles = [
        Line2D(
            [], [], marker=markers[camera], color=MUTED, linestyle="", label=f"camera {camera + 1}"
        )
        for camera in cameras[: len(MARKERS)]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure
