"""Branches that several runs share, where the first phase would teach them the same.

Runs that differ in CMFTs, edges and the losses on these alone have the same branches after their
first phase, bit for bit. So the first of them leaves its branches in a folder, and the others begin
behind that phase. What tells that they are the same: data, every setting that the phase sees, and
the weights that it starts from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from denet.files import written_whole
from denet.graph import branch_engine
from denet.model import DENet
from denet.outputs import writing
from denet.reading import reading
from denet.run import EpochReport, Origin, TrainingError

UNSEEN = {
    "model": (
        *("composition", "cmft_width", "dem_channels", "edge_norm", "placed", "anchor_weight"),
        "neck",
    ),
    "train": (
        *("graph_epochs", "rho", "mu", "states", "recovery_losses", "adversary", "anchor"),
        *("evaluate_every", "workers"),
    ),
}
"""By table of a recipe, the settings that the phase of the branches does not see."""

HISTORY = "history"


class BranchPhase:
    """The first phase of a run that is about to begin.

    Args:
        folder: of what runs left; it need not be there.
        origin: of the run.
        model: as it starts.
    """

    def __init__(self, folder: Path, origin: Origin, model: DENet) -> None:
        self.path = folder / f"{_digest(origin, model)}.safetensors"

    def restore(self, model: DENet) -> list[EpochReport]:
        """Give `model` the branches that another run left, and return the epochs that made them;
        none where no run has.

        Raises:
            TrainingError: the file is damaged.
        """
        if not self.path.is_file():
            return []
        own = _branches(model)
        with reading(self.path, TrainingError, "not what a phase left: remove it"):
            with safe_open(self.path, framework="pt") as kept:
                rows = json.loads(kept.metadata()[HISTORY])
                weights = {name: kept.get_tensor(name) for name in own}
            history = [EpochReport(**row) for row in rows]
            with torch.no_grad():
                for name, tensor in own.items():
                    tensor.copy_(weights[name])
        return history

    def keep(self, model: DENet, history: Sequence[EpochReport]) -> None:
        """Leave the branches of `model`, which the epochs of `history` made, for other runs.

        Raises:
            TrainingError: they cannot be written.
        """
        weights = {name: tensor.contiguous() for name, tensor in _branches(model).items()}
        rows = json.dumps([asdict(report) for report in history])
        with writing(self.path, TrainingError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as temporary:
                save_file(weights, temporary, {HISTORY: rows})


def _branches(model: DENet) -> dict[str, Tensor]:
    """Parameters and statistics of the branches, by name."""
    prefixes = tuple(f"{branch_engine(m)}." for m in model.graph.modalities)
    return {
        name: tensor
        for name, tensor in model.engines.state_dict().items()
        if name.startswith(prefixes)
    }


def _digest(origin: Origin, model: DENet) -> str:
    document = msgspec.to_builtins(origin)
    for table, settings in UNSEEN.items():
        for setting in settings:
            document["recipe"][table].pop(setting, None)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, tensor in _branches(model).items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
