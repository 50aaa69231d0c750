"""t-SNE of what the network is made of (the paper's Fig. 6): without and with DEM, and of the
three modalities as they are and as recovered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from denet.data.dataset import EvaluationSet
from denet.data.records import Record
from denet.figures.clusters import MARKERS, project
from denet.figures.style import MUTED, new_figure
from denet.graph import Modality
from denet.model import DENet

Vectors = NDArray[np.float32]

BATCH = 32


@dataclass(frozen=True)
class ModalityFeatures:
    """What a network makes of N complete samples.

    Attributes:
        bare: (N, D) embeddings of the same network without any edge.
        enhanced: (N, D) embeddings.
        real: of each modality, pooled features (N, C).
        recovered: of the first modality the real ones, of the others as recovered from it.
    """

    bare: Vectors
    enhanced: Vectors
    real: Mapping[Modality, Vectors]
    recovered: Mapping[Modality, Vectors]


def modality_features(model: DENet, records: Sequence[Record]) -> ModalityFeatures:
    """Run a network on samples.

    Args:
        model: a DENet in evaluation mode that recovers.
        records: complete samples.

    Raises:
        DataError: a sample lacks a modality, or an image cannot be read.
    """
    complete = model.graph.complete
    first, *others = complete.available
    data = EvaluationSet([record.within(complete) for record in records], model.config)
    device = next(model.parameters()).device
    chunks: list[dict[str, torch.Tensor]] = []
    with torch.inference_mode():
        for images, _ in DataLoader(data, BATCH):
            output = model({m: image.to(device) for m, image in images.items()}, complete)
            real = {m: branch.pooled for m, branch in output.branches.items()}
            made = {m: output.recovered[first, m].pooled for m in others}
            alone = {first: real[first]} | made
            bases = torch.stack([*real.values(), *(alone[m] for m in complete.available)])
            chunks.append(
                {"bare": model.head(bases), "enhanced": output.embedding}
                | {f"real {m}": vectors for m, vectors in real.items()}
                | {f"recovered {m}": vectors for m, vectors in alone.items()}
            )
    joined = {
        name: torch.cat([chunk[name] for chunk in chunks]).float().cpu().numpy()
        for name in chunks[0]
    }
    return ModalityFeatures(
        joined["bare"],
        joined["enhanced"],
        {m: joined[f"real {m}"] for m in complete.available},
        {m: joined[f"recovered {m}"] for m in complete.available},
    )


def modalities_figure(features: ModalityFeatures, records: Sequence[Record], seed: int) -> Figure:
    """Four panels; a colour for each identity, in (c) and (d) a marker for each modality.

    Args:
        features: of `records`.
        records: N samples of at most ten identities.
        seed: of t-SNE.
    """
    figure = new_figure(10.4, 3.3)
    identities = sorted({record.identity for record in records})
    colors = [f"C{identities.index(record.identity)}" for record in records]
    first, *others = features.real
    panels: tuple[tuple[str, Mapping[Modality, Vectors]], ...] = (
        ("(a) final features without DEM", {"": features.bare}),
        ("(b) with DEM", {"": features.enhanced}),
        ("(c) the modalities' features", features.real),
        (f"(d) {' and '.join(others)} as recovered from {first}", features.recovered),
    )
    for place, (title, groups) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        points = project(np.concatenate([*groups.values()]), seed)
        for marker, group in zip(MARKERS, np.split(points, len(groups)), strict=False):
            for (x, y), color in zip(group, colors, strict=True):
                axes.plot(
                    x, y, marker, color=color, markersize=4.5, markeredgecolor="white",
                    markeredgewidth=0.4,
                )  # fmt: skip
        axes.set_title(title, fontsize=9, fontweight="normal")
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("top", "right"):
            axes.spines[side].set_visible(True)
    handles = [
        Line2D([], [], marker=marker, color=MUTED, linestyle="", label=modality)
        for marker, modality in zip(MARKERS, features.real, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles), fontsize=8)
    return figure
