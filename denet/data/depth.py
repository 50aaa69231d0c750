"""How deep the pixels of a data set are, and which part of that depth they use."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.graph import Modality
from denet.images import Decoded
from denet.pixels import FULL, OUTERMOST, range_misfit

TAKEN = 256
"""Values of each image, evenly from all over it."""


class Depths:
    """The depths of the images that it is shown, by modality."""

    def __init__(self) -> None:
        self._bits: dict[Modality, Counter[int]] = defaultdict(Counter)
        self._values: dict[Modality, list[NDArray[np.float64]]] = defaultdict(list)

    def add(self, modality: Modality, image: Decoded) -> None:
        """Take in an image as it is stored."""
        bits = _bits(image)
        self._bits[modality][bits] += 1
        if bits > 8:
            values = np.asarray(image).ravel()
            step = max(1, values.size // TAKEN)
            self._values[modality].append(values[::step].astype(np.float64))

    def notes(self, modalities: Sequence[Modality]) -> list[str]:
        """What a recipe has to say of them, or a person to mend, one line each."""
        found = []
        for m in modalities:
            counts = self._bits[m]
            if len(counts) > 1:
                shown = " and ".join(f"{bits} bits in {counts[bits]}" for bits in sorted(counts))
                found.append(f"{m}: {shown} images: the same value is not as bright in both")
            if self._values[m]:
                found += _of_range(m, np.concatenate(self._values[m]), max(counts))
        return found


def _bits(image: Decoded) -> int:
    if not isinstance(image, Image.Image):
        return 16
    if image.mode in ("I", "F"):
        return 32
    return 16 if image.mode.startswith("I;16") else 8


def _of_range(modality: Modality, values: NDArray[np.float64], bits: int) -> list[str]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return [f"{modality}: holds no number"]
    low, high = np.percentile(finite, (OUTERMOST, 100 - OUTERMOST))
    misfit = range_misfit(finite, FULL)
    if bits == 32 and (np.any(finite % 1) or misfit is not None):
        misfit = f"{bits}-bit values from {low:g} to {high:g}"
    if misfit is None:
        return []
    return [
        f"{modality}: {misfit}: say in a recipe which are black and white: "
        f"[model.normalization.{modality}] range16, about [{low:g}, {high:g}]"
    ]
