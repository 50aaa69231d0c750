"""Class-activation maps (the paper's Fig. 7): where each branch finds what it recognizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from denet.data.dataset import EvaluationSet
from denet.data.records import Record
from denet.evaluate import Embed, Split
from denet.figures.canvas import GAP, Canvas, Pixels, thumbnail_size
from denet.figures.choice import matches_of
from denet.figures.recovered import denormalize
from denet.figures.style import INK, MUTED
from denet.graph import Modality, State
from denet.model import DENet

HEAD = 64
FOOT = 20
SAMPLE_GAP = 24
OPACITY = 0.55
"""Of the map over its image, where the map is at its highest."""


def activation_maps(
    model: DENet, images: Mapping[Modality, Tensor], state: State, target: Tensor
) -> dict[Modality, Tensor]:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of the cosine between an embedding and `target`.

    Test identities are no classes of the training, so no class score is there to be explained.
    What ranks the gallery is the cosine of embeddings: the map shows which places in an image
    pull the embedding towards `target`. The cosine does not change with the embedding's length,
    so what pulls and what pushes cancel over all places; the rectifier keeps what pulls.

    Args:
        model: a DENet in evaluation mode.
        images: network input (1, 3, H, W) of the modalities of `state`.
        state: what is available.
        target: (D,), to which the embedding should be similar.

    Returns:
        Of each available modality, a map (h, w) as large as its branch's feature map: not
        negative, and on one scale for all modalities.
    """
    with torch.enable_grad():
        output = model(images, state)
        cosine = functional.cosine_similarity(output.embedding, target[None]).sum()
        features = {m: branch.feature for m, branch in output.branches.items()}
        gradients = torch.autograd.grad(cosine, list(features.values()))
    return {
        m: (gradient.mean(dim=(2, 3), keepdim=True) * feature).sum(dim=1)[0].relu().detach()
        for (m, feature), gradient in zip(features.items(), gradients, strict=True)
    }


def overlay(pixels: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """A map (h, w) in 0..1, in colours over the grey image (H, W, 3): the hotter the less grey."""
    height, width = pixels.shape[:2]
    smooth = functional.interpolate(
        torch.from_numpy(heat)[None, None], (height, width), mode="bicubic", align_corners=False
    )[0, 0]
    strength = smooth.clamp(0, 1).numpy()
    grey = pixels.mean(axis=2, keepdims=True)
    colors = colormaps["inferno"](strength)[:, :, :3] * 255
    alpha = OPACITY * np.sqrt(strength)[:, :, None]
    mixed: Pixels = np.rint(grey * (1 - alpha) + colors * alpha).astype(np.uint8)
    return mixed


def identity_direction(
    embed: Embed, split: Split, query: int, state: State | None = None
) -> NDArray[np.float32]:
    """What tells the query's identity from others, (D,), as `activation_maps` takes it.

    The mean embedding of the identity as other cameras saw it, less the mean of the gallery, all
    in `state`, or complete. Without the subtraction most of the vector, and so of the map, would
    be what the features of all people have in common.
    """
    everyone = embed(split.gallery, [state or split.graph.complete] * len(split.gallery))
    direction: NDArray[np.float32] = everyone[matches_of(split, query)].mean(0) - everyone.mean(0)
    return direction


def activation_figure(
    model: DENet, records: Sequence[Record], targets: Sequence[NDArray[np.float32]]
) -> Figure:
    """Each sample's images, and under them their maps with each modality's share.

    Args:
        model: a DENet in evaluation mode.
        records: complete samples, at least one.
        targets: of each sample, the vector (D,) whose cosine is explained.

    Raises:
        DataError: a sample lacks a modality, or an image cannot be read.
    """
    complete = model.graph.complete
    data = EvaluationSet([record.within(complete) for record in records], model.config)
    device = next(model.parameters()).device
    height, width = model.config.image_size
    size = wide, tall = thumbnail_size(np.empty((height, width, 3), np.uint8))
    block = len(complete.available) * (wide + GAP) - GAP
    canvas = Canvas(
        GAP + len(records) * (block + SAMPLE_GAP) - SAMPLE_GAP + GAP,
        HEAD + 2 * (tall + GAP) + FOOT,
    )
    canvas.text(GAP, 14, "Where identity is found", va="center", fontweight="bold", fontsize=10)
    for number, (record, target) in enumerate(zip(records, targets, strict=True)):
        images, _ = data[number]
        on_device = {m: image[None].to(device) for m, image in images.items()}
        maps = activation_maps(model, on_device, complete, torch.from_numpy(target).to(device))
        total = sum(float(heat.sum()) for heat in maps.values())
        left = GAP + number * (block + SAMPLE_GAP)
        canvas.text(left, HEAD - 28, f"identity {record.identity}", va="center", color=MUTED)
        for column, modality in enumerate(complete.available):
            x, y = left + column * (wide + GAP), HEAD
            pixels = denormalize(images[modality], model.config.normalization_of(modality))
            heat = maps[modality].cpu()
            canvas.text(
                x + wide / 2, y - 10, modality, ha="center", va="center", color=INK, fontsize=8
            )
            canvas.image(pixels, x, y, size)
            y += tall + GAP
            scaled = heat / heat.max().clamp(min=1e-12)
            canvas.image(overlay(pixels, scaled.float().numpy()), x, y, size)
            share = float(heat.sum()) / total if total else 0.0
            canvas.text(
                x + wide / 2, y + tall + 10, f"{share:.0%}", ha="center", va="center",
                color=MUTED, fontsize=8,
            )  # fmt: skip
    return canvas.finish()
