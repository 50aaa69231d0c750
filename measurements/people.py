"""How well `denet fleet count` estimates how many people there were.

    python measurements/people.py [--draws 40]

People are drawn who come once, three times, geometrically often, or some of them eight times. Pairs
of their tracks look alike with known probabilities: those of one person with the share that is
found, those of strangers with 0.0003. Printed is how often the interval holds the truth, and the
mean of the estimates beside it. Needs no data and no database.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from runtime.fleet.estimate import Alike, Estimate, estimate_people

RATE = 0.0003

Sizes = Callable[[np.random.Generator], NDArray[np.int64]]

CASES: dict[str, Sizes] = {
    "60 people, once": lambda _: np.ones(60, np.int64),
    "40 people, three times": lambda _: np.full(40, 3),
    "50 people, geometric, mean 2.5": lambda chance: chance.geometric(0.4, 50),
    "8 people, geometric, mean 3.3": lambda chance: chance.geometric(0.3, 8),
    "150 people, geometric, mean 2": lambda chance: chance.geometric(0.5, 150),
    "50 people, one in five eight times": lambda chance: np.where(chance.random(50) < 0.8, 1, 8),
}


def estimated(sizes: NDArray[np.int64], found: float, seed: int) -> Estimate:
    """What is estimated of people with so many tracks."""
    chance = np.random.default_rng(1000 + seed)
    who = np.repeat(np.arange(len(sizes)), sizes)
    one, other = np.triu_indices(len(who), 1)
    likely = np.where(who[one] == who[other], found, RATE)
    hit = chance.random(len(one)) < likely
    pairs = np.stack([one[hit], other[hit]], axis=1)
    return estimate_people(Alike(pairs, np.full(len(who), len(who) - 1), found, RATE), seed)


def main(draws: int) -> None:
    table = Table("share found", "people", "interval holds", "estimate / truth", "width / truth")
    for found in (0.9, 0.5, 0.25):
        for name, drawn in CASES.items():
            held, ratios, widths = 0, [], []
            for seed in range(draws):
                sizes = drawn(np.random.default_rng(seed))
                estimate = estimated(sizes, found, seed)
                held += estimate.low <= len(sizes) <= estimate.high
                ratios.append(estimate.people / len(sizes))
                widths.append((estimate.high - estimate.low) / len(sizes))
            table.add_row(
                f"{found}",
                name,
                f"{held / draws:.1%}",
                f"{np.mean(ratios):.2f}",
                f"{np.mean(widths):.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=40)
    main(parser.parse_args().draws)
