"""What the axes and outputs of a state's graph are called."""

from __future__ import annotations

BATCH = "batch"
"""The axis of samples."""

EMBEDDING = "embedding"
"""The output, (batch, dim), L2-normalized."""
