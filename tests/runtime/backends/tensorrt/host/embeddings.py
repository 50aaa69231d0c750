"""Embeddings of a runtime beside those of another one."""

from __future__ import annotations

import numpy as np

from runtime import Runtime
from tests.runtime.backends.tensorrt.machines import Inputs

NEAR = 1e-5
"""How much an embedding, of length 1, may differ from the CPU's."""


def farthest(mine: Runtime, reference: Runtime, samples: Inputs) -> float:
    """The greatest difference of a number in the embeddings of one batch.

    Raises:
        BackendError: as running the batch.
    """
    found = mine.head(mine.composer.run_tensors(samples))
    expected = reference.head(reference.composer.run_tensors(samples))
    return float(np.abs(found - expected).max())
