"""What retrieval compares, before or after the BN neck or seen from its mean: mAP in each kind of
state, where states meet other states, and from one modality to another.

    python measurements/necks.py DATA CHECKPOINT... [--rate 0.5] [--threads 2]

The same weights each time; mean and standard deviation over the checkpoints, which are trained
alike with other seeds. Chance is the mean over queries of what a random order would reach.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from denet.checkpoint import load_checkpoint, save_checkpoint
from denet.config import Neck
from denet.data.records import DataSet, open_data
from denet.examine import examine
from denet.metrics import rank
from denet.subject import checkpoint_subject
from denet.testset import open_split

ROUNDS = 20
"""Random orders of the gallery."""


def figures(facts: Mapping[str, Any], rate: float) -> dict[str, float]:
    """Per cent, by what they are of."""
    states = {name: row["mAP"] for name, row in facts["states"].items()}
    count = max(len(name.split("+")) for name in states)
    single = [name for name in states if "+" not in name]

    def mean(having: int) -> float:
        return statistics.mean(m for n, m in states.items() if len(n.split("+")) == having)

    across = [facts["matrix"][f"{a} / {b}"]["mAP"] for a in single for b in single if a != b]
    return {
        "complete": mean(count),
        **({"one missing": mean(2)} if count > 2 else {}),
        "one modality": mean(1),
        f"{rate:.0%} missing": facts["missing_rate"][str(rate)]["mAP"],
        "across": statistics.mean(across),
    }


def chance(data: DataSet) -> float:
    """mAP of random orders, per cent: of embeddings that know nothing."""
    random = np.random.default_rng(0)
    sides = (data.query, data.gallery)
    identities = [np.array([r.identity for r in side]) for side in sides]
    cameras = [np.array([r.camera for r in side]) for side in sides]

    def drawn(count: int) -> NDArray[np.float32]:
        return random.standard_normal((count, 64), dtype=np.float32)

    return statistics.mean(
        rank(drawn(len(data.query)), drawn(len(data.gallery)), *identities, *cameras).map
        for _ in range(ROUNDS)
    )


def measured(checkpoint: Path, neck: Neck, data: DataSet, rate: float) -> dict[str, float]:
    model = load_checkpoint(checkpoint)
    model.retrieve_by(neck)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_checkpoint(model, path, replace=False)
        subject = checkpoint_subject(path)
        split = open_split(data).seen_by(model.graph)
        facts = examine(subject, split, matrix=True, rates=(rate,), recovery=False).facts()
    return figures(facts, rate)


def shown(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = open_data(arguments.data)
    console = Console(width=110)
    table: Table | None = None
    for neck in get_args(Neck):
        found = [measured(path, neck, data, arguments.rate) for path in arguments.checkpoints]
        table = table or Table("neck", *found[0])
        table.add_row(neck, *(shown([each[name] for each in found]) for name in found[0]))
    console.print(f"mAP, %, of {len(arguments.checkpoints)} checkpoints; chance {chance(data):.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
