"""What the canary may show in the forms that a calibration made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.replay import Replay, ReplayEngines
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Forms
from runtime.canary import golden_cosines
from runtime.head import Head
from runtime.preprocess import Preprocessor

LEAST = 1e-6
"""Of a limit: what is further off than that has no likeness left that could be asked for."""


def canary_limit(bundle: Bundle, engines: ReplayEngines, forms: Forms) -> float:
    """The least cosine that the golden inputs may show in these forms.

    Twice the loss that is seen here, and as much again as other hardware rounds differently: what
    is wrong with a device is far beyond that.
    """
    preprocess, head = Preprocessor(bundle.manifest.preprocessing), Head(bundle)

    def embed(samples: Sequence[dict[Any, Any]]) -> NDArray[np.float32]:
        state = bundle.graph.state(samples[0])
        images = {
            m: np.stack([preprocess(sample[m], m) for sample in samples]) for m in state.available
        }
        parts = [part for _, part in Replay(engines, images).parts(state, forms)]
        return head(np.stack(parts, axis=1))

    least = min(golden_cosines(bundle, embed).values())
    return max(round(1 - 2 * (1 - least) - 1e-3, 6), LEAST)
