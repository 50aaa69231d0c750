"""The head: from the parts of an embedding to the embedding that retrieval compares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BundleError

Floats = NDArray[np.float32]

EPSILON = 1e-12
"""The least norm that a vector is divided by."""


class Head:
    """The head of a bundle, in float32: an affine where there is one, L2 normalization, and where
    embeddings are projected to fewer numbers that, and L2 normalization once more.

    Raises:
        BundleError: the file of its numbers is damaged or does not fit.
    """

    def __init__(self, bundle: Bundle) -> None:
        arrays = read_head(bundle)
        self._normalize = bundle.manifest.head.normalize
        self._affine = (arrays["scale"], arrays["shift"]) if "scale" in arrays else None
        self._projection = (arrays["mean"], arrays["matrix"]) if "matrix" in arrays else None

    def __call__(self, parts: Floats) -> Floats:
        """Parts (N, P, C) -> embeddings (N, dim)."""
        joined: Floats = parts.reshape(len(parts), parts.shape[1] * parts.shape[2])
        if self._affine is not None:
            scale, shift = self._affine
            joined = joined * scale + shift
        if self._normalize:
            joined = normalized(joined)
        if self._projection is not None:
            joined = projected(joined, *self._projection)
        return joined


def normalized(vectors: Floats) -> Floats:
    """Rows (N, D) with a Euclidean norm of 1; a row of zeros stays one."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(norm, EPSILON)
    return unit


def projected(vectors: Floats, mean: Floats, matrix: Floats) -> Floats:
    """Normalized rows (N, PC) -> normalized rows (N, dim).

    The mean (PC) is what all people share. It is subtracted before the product, not after: most of
    a vector may be mean, and float32 would lose the rest.
    """
    short: Floats = np.matmul(vectors - mean, matrix)
    return normalized(short)


def read_head(bundle: Bundle) -> dict[str, Floats]:
    """The head's numbers by name: `scale` and `shift`, `mean` and `matrix`, both or neither.

    Raises:
        BundleError: the file of its numbers is damaged or does not fit.
    """
    head, wide = bundle.manifest.head, bundle.graph.parts * bundle.manifest.channels
    stored = {} if head.affine is None else bundle.read_arrays(head.affine)
    expected: dict[str, tuple[int, ...]] = {}
    if "scale" in stored or (head.affine is not None and head.projection is None):
        expected |= {"scale": (wide,), "shift": (wide,)}
    if head.projection is not None:
        expected |= {"mean": (wide,), "matrix": (wide, head.dim)}
    for name, shape in expected.items():
        path = bundle.root / (head.affine.path if head.affine else "")
        if name not in stored or stored[name].shape != shape:
            raise BundleError(f"{path}: has no {name!r} of shape {shape}")
        if stored[name].dtype != np.float32 or not np.isfinite(stored[name]).all():
            raise BundleError(f"{path}: {name!r} is not of float32 numbers")
    return {name: stored[name] for name in expected}
