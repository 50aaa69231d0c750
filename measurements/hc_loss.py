"""Why HC loss stays at chance from random weights: its cross-entropy beside its centre loss.

    python measurements/hc_loss.py DATA [--preset small] [--config FILE.toml] [--epochs 12]
        [--weights 0,0.0625,0.5]

Trains it once for each weight lambda of L_HC, and prints L_CE, the mean over the batches of an
epoch and the stripes; chance is the logarithm of the number of identities.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import msgspec
from torch import Tensor

from denet.data.records import DataSet, open_data
from denet.recipe import Recipe, read_recipe
from denet.rivals import hc_loss
from denet.rivals.hc_loss import STRIPES, HCLoss
from denet.rivals.training import train_rival


def entropies(recipe: Recipe, data: DataSet, weight: float) -> list[float]:
    """L_CE of each batch, trained with `weight` as lambda."""
    found: list[float] = []
    whole = HCLoss.losses

    def losses(
        network: HCLoss, images: Mapping[str, Tensor], labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        identity, apart = whole(network, images, labels)
        found.append(float(identity.detach()) / STRIPES)
        return identity, apart

    with (
        patch.object(hc_loss, "LAMBDA", weight),
        patch.object(HCLoss, "losses", losses),
        TemporaryDirectory() as out,
    ):
        train_rival("hc", recipe, data, Path(out) / "run")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--weights", default="0,0.0625,0.5")
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.preset, arguments.config)
    once = msgspec.structs.replace(recipe.train, epochs=arguments.epochs, graph_epochs=0)
    recipe = msgspec.structs.replace(recipe, train=once)
    data = open_data(arguments.data)
    identities = len({record.identity for record in data.train})
    print(f"chance: {math.log(identities):.2f}")
    epochs = range(1, arguments.epochs + 1)
    print("| lambda | " + " | ".join(f"epoch {epoch}" for epoch in epochs) + " |")
    print("| ---: |" + " ---: |" * len(epochs))
    for weight in map(float, arguments.weights.split(",")):
        found = entropies(recipe, data, weight)
        size = len(found) // len(epochs)
        means = [statistics.mean(found[i : i + size]) for i in range(0, len(found), size)]
        print(f"| {weight:g} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |", flush=True)


if __name__ == "__main__":
    main()
