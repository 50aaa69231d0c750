"""The canary: golden inputs in the bundle whose embeddings are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BundleError
from runtime.cosine import row_cosines

Embed = Callable[[Sequence[dict[Any, Any]]], NDArray[np.float32]]


@dataclass(frozen=True)
class CanaryReport:
    """The least cosine to the expected embeddings in each state, and the least allowed."""

    cosines: dict[str, float]
    min_cosine: float

    @property
    def failed(self) -> list[str]:
        """The states whose embeddings are not the expected ones (a NaN never is)."""
        return [s for s, cosine in self.cosines.items() if not cosine >= self.min_cosine]

    def describe_failures(self) -> str:
        worst = ", ".join(f"{s} (cosine {self.cosines[s]:.6f})" for s in self.failed)
        return f"{worst}; at least {self.min_cosine} is expected"


def check_canary(bundle: Bundle, variant: str, embed: Embed) -> CanaryReport:
    """Embed the golden inputs of `bundle` in every state and compare.

    The canary file holds `image_<modality>`, (n, H, W, 3) uint8, and `embedding_<state>`,
    (n, dim) float32.

    Raises:
        BundleError: the canary is damaged or incomplete.
    """
    canary = bundle.manifest.canary
    if variant not in canary.min_cosine:
        raise BundleError(f"{bundle.root}: the canary has no limit for {variant}")
    return CanaryReport(golden_cosines(bundle, embed), canary.min_cosine[variant])


def golden_cosines(bundle: Bundle, embed: Embed) -> dict[str, float]:
    """The least cosine to the expected embeddings, by state. Raises: as `check_canary`."""
    arrays = bundle.read_arrays(bundle.manifest.canary.file)
    _check_shapes(bundle, arrays)
    cosines: dict[str, float] = {}
    for state in bundle.graph.states:
        expected = arrays[f"embedding_{state}"]
        samples = [
            {m: arrays[f"image_{m}"][i] for m in state.available} for i in range(len(expected))
        ]
        cosines[state.name] = float(np.min(row_cosines(embed(samples), expected)))
    return cosines


def _check_shapes(bundle: Bundle, arrays: dict[str, NDArray[Any]]) -> None:
    modalities, states = bundle.graph.modalities, bundle.graph.states
    first = f"image_{modalities[0]}"
    count = len(arrays[first]) if first in arrays else 0
    expected: dict[str, tuple[int | None, ...]] = {}
    for m in modalities:
        expected[f"image_{m}"] = (count, None, None, 3)
    for state in states:
        expected[f"embedding_{state}"] = (count, bundle.manifest.head.dim)
    for name, shape in expected.items():
        found = arrays[name].shape if name in arrays else ()
        same = len(found) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found, strict=True)
        )
        if not count or not same:
            path = bundle.root / bundle.manifest.canary.file.path
            raise BundleError(f"{path}: {name} is missing or of a wrong shape {found}")
