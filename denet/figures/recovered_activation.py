"""Class-activation maps of recovered features over the image that they are recovered from (the
paper's Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from denet.cmft import CMFT
from denet.data.dataset import EvaluationSet
from denet.data.records import Record
from denet.evaluate import Embed, Split
from denet.figures.activation import identity_direction, overlay
from denet.figures.canvas import GAP, Canvas, thumbnail_size
from denet.figures.recovered import denormalize
from denet.figures.style import INK, MUTED
from denet.graph import Modality, cmft_engine
from denet.model import DENet

HEAD = 64
LABELS = 110
SAMPLE_GAP = 24


def recovered_activation(model: DENet, image: Tensor, target: Tensor) -> dict[Modality, Tensor]:
    """Grad-CAM of the cosine to `target` on the feature maps that CMFTs recover.

    The network only has the mean of a recovered map, so the gradient is the same at all of its
    places. The map is a linear expansion, not what a ReLU leaves: which constant it has says
    nothing of a place, so its mean over the places is taken off before the rectifier.

    Args:
        model: a DENet in evaluation mode that recovers.
        image: network input (1, 3, H, W) of the first modality, the only one that is available.
        target: (D,), to which the embedding should be similar.

    Returns:
        Of each other modality, a map (h, w), not negative.
    """
    first, *others = model.graph.modalities
    state = model.graph.state([first])
    with torch.enable_grad():
        output = model({first: image}, state)
        cosine = functional.cosine_similarity(output.embedding, target[None]).sum()
        gradients = torch.autograd.grad(cosine, [output.recovered[first, m].pooled for m in others])
    maps: dict[Modality, Tensor] = {}
    with torch.no_grad():
        for modality, gradient in zip(others, gradients, strict=True):
            cmft = model.engines[cmft_engine(first, modality)]
            assert isinstance(cmft, CMFT)
            feature = cmft.down.feature(cmft.down(cmft.up(output.branches[first].feature)))
            places = feature.shape[2] * feature.shape[3]
            pull = (gradient[:, :, None, None] / places * feature).sum(dim=1)[0]
            maps[modality] = (pull - pull.mean()).relu()
    return maps


def recovered_activation_figure(
    models: Mapping[str, tuple[DENet, Embed]], split: Split, queries: Sequence[int]
) -> Figure:
    """A row for each model: of each query the image, then the map of each recovered feature.

    What is explained is what tells the query's identity from others with the first modality alone.

    Args:
        models: name -> a DENet in evaluation mode that recovers, and what embeds with it; all of
            one graph and image size.
        split: complete samples.
        queries: of the split, each with a match.

    Raises:
        DataError: a sample lacks a modality, or an image cannot be read.
    """
    some = next(iter(models.values()))[0]
    first, *others = some.graph.modalities
    state = some.graph.state([first])
    records: list[Record] = [split.query[query].within(state) for query in queries]
    height, width = some.config.image_size
    size = wide, tall = thumbnail_size(np.empty((height, width, 3), np.uint8))
    block = (1 + len(others)) * (wide + GAP) - GAP
    canvas = Canvas(
        LABELS + len(queries) * (block + SAMPLE_GAP), HEAD + len(models) * (tall + GAP) + GAP
    )
    canvas.text(
        GAP, 14, f"Where features recovered from {first} find an identity", va="center",
        fontweight="bold", fontsize=10,
    )  # fmt: skip
    for row, (name, (model, embed)) in enumerate(models.items()):
        y = HEAD + row * (tall + GAP)
        canvas.text(GAP, y + tall / 2, name, va="center", color=INK, fontsize=8)
        data = EvaluationSet(records, model.config)
        device = next(model.parameters()).device
        for number, query in enumerate(queries):
            left = LABELS + number * (block + SAMPLE_GAP)
            image = data[number][0][first]
            target: NDArray[np.float32] = identity_direction(embed, split, query, state)
            maps = recovered_activation(
                model, image[None].to(device), torch.from_numpy(target).to(device)
            )
            pixels = denormalize(image, model.config.normalization_of(first))
            canvas.image(pixels, left, y, size)
            for column, modality in enumerate(others):
                heat = maps[modality].cpu()
                scaled = (heat / heat.max().clamp(min=1e-12)).float().numpy()
                canvas.image(overlay(pixels, scaled), left + (1 + column) * (wide + GAP), y, size)
    for number, record in enumerate(records):
        left = LABELS + number * (block + SAMPLE_GAP)
        canvas.text(left, HEAD - 28, f"identity {record.identity}", va="center", color=MUTED)
        for column, name in enumerate((first, *others)):
            canvas.text(
                left + column * (wide + GAP) + wide / 2, HEAD - 10,
                f"({'abcdefgh'[column]}) {name}", ha="center", va="center", color=INK, fontsize=8,
            )  # fmt: skip
    return canvas.finish()
