"""The head: from the parts of an embedding to the embedding that retrieval compares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denet.graph import PARTS
from runtime.bundle import Bundle, BundleError


class Head:
    """The head of a bundle: the affine of a BN neck where there is one, then L2 normalization.

    Raises:
        BundleError: the file of its affine is damaged.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._normalize = bundle.manifest.head.normalize
        self._affine = _read_affine(bundle)

    def __call__(self, parts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Parts (N, 6, C) -> embeddings (N, 6C)."""
        joined = parts.reshape(len(parts), parts.shape[1] * parts.shape[2])
        if self._affine is not None:
            scale, shift = self._affine
            joined = joined * scale + shift
        if self._normalize:
            norm = np.linalg.norm(joined, axis=1, keepdims=True)
            joined = joined / np.maximum(norm, 1e-12)
        return joined


def _read_affine(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    file = bundle.manifest.head.affine
    if file is None:
        return None
    arrays = bundle.read_arrays(file)
    expected = (PARTS * bundle.manifest.channels,)
    for name in ("scale", "shift"):
        if name not in arrays or arrays[name].shape != expected:
            raise BundleError(f"{bundle.root / file.path}: has no {name!r} of shape {expected}")
    return arrays["scale"].astype(np.float32), arrays["shift"].astype(np.float32)
