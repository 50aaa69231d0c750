"""Recovered images beside real ones, for all directions of the CMFTs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from denet.cmft import to_image
from denet.config import Normalization
from denet.data.dataset import EvaluationSet
from denet.data.records import Record
from denet.figures.canvas import GAP, Canvas, Pixels, thumbnail_size
from denet.figures.style import GRID, INK, MUTED
from denet.graph import Edge, Modality
from denet.model import DENet

HEAD = 82
"""Height of the words above the images, in pixels."""

SAMPLE_GAP = 26
"""Between two samples, in pixels."""

LABELS = 34
"""Width of the words left of the images, in pixels."""


def denormalize(image: Tensor, normalization: Normalization) -> Pixels:
    """Network input (3, H, W) back to the pixels (H, W, 3) that it was made of.

    What a CMFT paints darker than black or brighter than white is cut off there.
    """
    mean, std = (torch.tensor(v)[:, None, None] for v in (normalization.mean, normalization.std))
    values = ((image.detach().cpu().float() * std + mean) * 255).round().clamp(0, 255)
    pixels: Pixels = values.permute(1, 2, 0).numpy().astype(np.uint8)
    return pixels


def recover_images(
    model: DENet, record: Record
) -> tuple[dict[Modality, Pixels], dict[Edge, Pixels]]:
    """The images of a complete sample as the network sees them, and all that it recovers.

    Returns:
        Real images (H, W, 3) by modality, and recovered ones by direction (source, target).

    Raises:
        DataError: the sample lacks a modality, or an image cannot be read.
    """
    complete = model.graph.complete
    images, _ = EvaluationSet([record.within(complete)], model.config)[0]
    device = next(model.parameters()).device
    with torch.inference_mode():
        output = model({m: image[None].to(device) for m, image in images.items()}, complete)
        recovered = model.recover_all(output)
    normalizations = {m: model.config.normalization_of(m) for m in images}
    return (
        {m: denormalize(image, normalizations[m]) for m, image in images.items()},
        {
            edge: denormalize(to_image(made.grid)[0], normalizations[edge[1]])
            for edge, made in recovered.items()
        },
    )


def recovered_figure(model: DENet, records: Sequence[Record]) -> Figure:
    """For each sample a row for each target: the real image, then as recovered from each source.

    Args:
        model: a DENet in evaluation mode.
        records: complete samples, at least one.

    Raises:
        DataError: a sample lacks a modality, or an image cannot be read.
    """
    modalities = model.graph.modalities
    samples = [recover_images(model, record) for record in records]
    size = wide, tall = thumbnail_size(samples[0][0][modalities[0]])
    block = (1 + len(modalities)) * (wide + GAP) + GAP
    canvas = Canvas(
        LABELS + len(samples) * (block + SAMPLE_GAP) - SAMPLE_GAP + GAP,
        HEAD + len(modalities) * (tall + GAP),
    )
    canvas.text(
        GAP, 14, "Recovered images beside the real ones", va="center", fontweight="bold",
        fontsize=10,
    )  # fmt: skip
    for row, target in enumerate(modalities):
        y = HEAD + row * (tall + GAP)
        canvas.text(GAP, y + tall / 2, target, va="center", fontweight="bold", color=INK)
        for number, (real, recovered) in enumerate(samples):
            left = LABELS + number * (block + SAMPLE_GAP)
            canvas.image(real[target], left, y, size)
            for column, source in enumerate(modalities):
                x = left + 2 * GAP + (1 + column) * (wide + GAP) - GAP
                if (source, target) in recovered:
                    canvas.image(recovered[source, target], x, y, size)
                else:
                    canvas.frame(x, y, size, GRID)
    for number, record in enumerate(records):
        left = LABELS + number * (block + SAMPLE_GAP)
        canvas.text(left, HEAD - 44, f"identity {record.identity}", va="center", color=MUTED)
        heads: list[tuple[str, float, int]] = [
            ("real", 0, HEAD - 12),
            ("recovered from", (1 + len(modalities)) / 2, HEAD - 28),
            *((modality, 1 + i, HEAD - 12) for i, modality in enumerate(modalities)),
        ]
        for words, place, y in heads:
            middle = left + place * (wide + GAP) + (GAP if place else 0) + wide / 2
            canvas.text(middle, y, words, ha="center", va="center", color=INK, fontsize=8)
    return canvas.finish()
