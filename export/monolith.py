"""A missing state as one ONNX graph: what composing engines is compared with, never deployed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from denet.checkpoint import load_checkpoint
from denet.cmft import CMFT
from denet.errors import DenetError
from denet.files import file_digest
from denet.graph import State
from denet.initialize import random_images
from denet.model import DENet
from export.engines import BATCH
from export.onnx import to_onnx_model
from runtime.bundle.bundle import Bundle


class MonolithError(DenetError):
    """Graphs that cannot be exported; the message names the checkpoint."""


class Monolith(nn.Module):
    """All components of one state as one module.

    Images (B, 3, H, W) of the state's modalities, by name -> its parts (P, B, C), before the head.
    """

    def __init__(self, model: DENet, state: State) -> None:
        super().__init__()
        self.model = model
        self.state = state

    def forward(self, **images: Tensor) -> Tensor:
        parts: Tensor = self.model({m: images[m] for m in self.state.available}, self.state).parts
        return parts


def monolith(model: DENet, state: State) -> bytes:
    """The serialized ONNX graph of a state; the batch is a dynamic axis.

    It comes from the same exporter as the engines, with edges and CMFTs in the same form.
    """
    model = copy.deepcopy(model)
    for component in model.engines.values():
        if isinstance(component, CMFT):
            component.up = component.up.in_blocks()
    # More than one, or the exporter would take the batch for a constant.
    images = random_images(3, model.config.image_size, torch.Generator().manual_seed(0))
    return to_onnx_model(
        Monolith(model, state).eval(),
        {m: images.clone() for m in state.available},
        dict.fromkeys(state.available, (BATCH, 3, *model.config.image_size)),
        {"parts": (model.graph.parts, BATCH, model.channels)},
    )


def export_monoliths(
    checkpoint: Path,
    bundle: Bundle,
    folder: Path,
    *,
    notify: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the graph of each state to `folder`, as `rgb+tir.onnx` and so on, in FP32.

    Args:
        checkpoint: that the bundle was exported from.
        bundle: that the graphs are to be compared with.
        folder: an existing folder.
        notify: told of each state.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        MonolithError: it is another than the bundle's.
    """
    model = load_checkpoint(checkpoint)
    if file_digest(checkpoint) != bundle.manifest.checkpoint_sha256:
        raise MonolithError(
            f"{checkpoint}: not the checkpoint that {bundle.root} was exported from: graphs of "
            "another one say nothing of it"
        )
    for state in model.graph.states:
        notify(f"exporting {state} as one graph")
        (folder / f"{state.name}.onnx").write_bytes(monolith(model, state))
