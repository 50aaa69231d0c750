"""How alike two sets of vectors are, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def row_cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """The cosine of each row of `a` (N, D) to that of `b`, in float64; NaN for a row of zeros, so
    that whoever asks for at least so much refuses it."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: NDArray[np.float64] = np.sum(a * b, axis=1) / norms
    return cosines
