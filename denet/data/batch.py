"""Samples to a batch, where some lack modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from denet.graph import Modality

Images = dict[Modality, Tensor]


def collate(
    items: Sequence[tuple[Images, int, int]],
) -> tuple[Images, dict[Modality, list[int]], Tensor, Tensor]:
    """A batch of the B items of a `TrainingSet`.

    Returns:
        The images (n, 3, H, W) of each modality, of the n samples that have it; which of the B
        samples these are; the classes (B,); the cameras (B,). A modality that nobody has is in
        neither.
    """
    rows: dict[Modality, list[int]] = {}
    for row, (images, _, _) in enumerate(items):
        for modality in images:
            rows.setdefault(modality, []).append(row)
    stacked: Any = {m: default_collate([items[row][0][m] for row in rows[m]]) for m in rows}
    labels, cameras = (default_collate([item[column] for item in items]) for column in (1, 2))
    return stacked, rows, labels, cameras
