"""DENet: the network, its composition graph, its training and its evaluation.

Importing this package does not import torch, so that a camera node can use `denet.graph`. The
names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from denet.checkpoint import load_checkpoint, save_checkpoint
    from denet.config import ModelConfig
    from denet.model import DENet

__version__ = "0.1.0"

__all__ = ["DENet", "ModelConfig", "load_checkpoint", "save_checkpoint"]

__getattr__ = lazy(
    __name__,
    {
        "DENet": "denet.model",
        "ModelConfig": "denet.config",
        "load_checkpoint": "denet.checkpoint",
        "save_checkpoint": "denet.checkpoint",
    },
)
