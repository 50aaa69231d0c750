"""The canary: golden inputs in the bundle whose embeddings are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.graph import State
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BundleError
from runtime.cosine import row_cosines

Embed = Callable[[Sequence[dict[Any, Any]]], NDArray[np.float32]]

Arrays = dict[str, NDArray[Any]]

UNIT = 1e-3
"""By how much the norm of a golden embedding may differ from 1."""


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


def check_canary(
    bundle: Bundle,
    variant: str,
    embed: Embed,
    states: Iterable[State] | None = None,
    samples: int | None = None,
) -> CanaryReport:
    """Embed golden inputs of `bundle` and compare.

    Args:
        bundle: whose they are.
        variant: that is run: "int8-vnni".
        embed: runs it.
        states: in which they are embedded; None for all.
        samples: how many of them; None for all.

    Raises:
        BundleError: the canary is damaged or incomplete.
    """
    canary = bundle.manifest.canary
    if variant not in canary.min_cosine:
        raise BundleError(f"{bundle.root}: the canary has no limit for {variant}")
    found = golden_cosines(bundle, embed, states, samples)
    return CanaryReport(found, canary.min_cosine[variant])


def golden_cosines(
    bundle: Bundle,
    embed: Embed,
    states: Iterable[State] | None = None,
    samples: int | None = None,
) -> dict[str, float]:
    """The least cosine to the expected embeddings, by state. Arguments and raises: as
    `check_canary`."""
    arrays = read_golden(bundle)
    cosines: dict[str, float] = {}
    wanted = bundle.graph.states if states is None else set(states)
    for state in (state for state in bundle.graph.states if state in wanted):
        expected = arrays[f"embedding_{state}"][:samples]
        golden = [
            {m: arrays[f"image_{m}"][i] for m in state.available} for i in range(len(expected))
        ]
        cosines[state.name] = float(np.min(row_cosines(embed(golden), expected)))
    return cosines


def read_golden(bundle: Bundle) -> Arrays:
    """The golden inputs: `image_<modality>`, (n, H, W, 3) uint8, and `embedding_<state>`, (n, dim)
    float32 of norm 1.

    Raises:
        BundleError: the file is damaged or incomplete.
    """
    arrays = bundle.read_arrays(bundle.manifest.canary.file)
    modalities, states = bundle.graph.modalities, bundle.graph.states
    first = arrays.get(f"image_{modalities[0]}")
    count = len(first) if first is not None and first.ndim else 0
    images = {f"image_{m}" for m in modalities}
    for name in (*sorted(images), *(f"embedding_{state}" for state in states)):
        shape = (count, None, None, 3) if name in images else (count, bundle.manifest.head.dim)
        dtype = np.uint8 if name in images else np.float32
        array = arrays.get(name)
        if array is None or not count or not _has_shape(array, shape) or array.dtype != dtype:
            found = "missing" if array is None else f"{array.dtype} of a wrong shape {array.shape}"
            raise _wrong(bundle, f"{name} is {found}")
        if name not in images and not _are_unit(array):
            raise _wrong(bundle, f"{name} is not of norm 1")
    return arrays


def _has_shape(array: NDArray[Any], shape: tuple[int | None, ...]) -> bool:
    return array.ndim == len(shape) and all(
        have > 0 and want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )


def _are_unit(embeddings: NDArray[np.float32]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        # A NaN is at no distance.
        return bool((abs(np.linalg.norm(embeddings, axis=1) - 1) <= UNIT).all())


def _wrong(bundle: Bundle, what: str) -> BundleError:
    return BundleError(f"{bundle.root / bundle.manifest.canary.file.path}: {what}")
