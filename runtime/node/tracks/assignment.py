"""Who belongs to whom: the assignment of the least cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FORBIDDEN = 1e4
"""Cost of a pair that must not be; costs of others are of 0 to 1."""


def assign(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of rows and columns, as many as can be and of the least cost in all.

    Shortest augmenting paths with potentials (Jonker and Volgenant, "A shortest augmenting path
    algorithm for dense and sparse linear assignment problems", 1987): O(rows^2 columns), of which
    numpy does the columns.

    Args:
        costs: (rows, columns), of 0 to 1; `FORBIDDEN` where there is no pair.

    Returns:
        Pairs in the order of their rows; each row and column is in one at most.
    """
    if costs.shape[0] > costs.shape[1]:
        return sorted((row, column) for column, row in assign(costs.T))
    rows, columns = costs.shape
    owner = np.full(columns + 1, -1)  # row of each column; the last is where a path begins
    of_row, of_column = np.zeros(rows), np.zeros(columns + 1)
    for row in range(rows):
        column, owner[columns] = columns, row
        least = np.full(columns, np.inf)
        before = np.full(columns, columns)
        reached = np.zeros(columns + 1, bool)
        while owner[column] >= 0:
            reached[column] = True
            current = owner[column]
            open_ = ~reached[:columns]
            reduced = costs[current] - of_row[current] - of_column[:columns]
            better = open_ & (reduced < least)
            least[better], before[better] = reduced[better], column
            nearest = int(np.where(open_, least, np.inf).argmin())
            step = least[nearest]
            of_row[owner[reached]] += step
            of_column[reached] -= step
            least[open_] -= step
            column = nearest
        while column != columns:  # along the path, each column takes the row of the one before
            owner[column] = owner[before[column]]
            column = int(before[column])
        owner[columns] = -1
    pairs = ((int(row), column) for column, row in enumerate(owner[:columns]) if row >= 0)
    return sorted((row, column) for row, column in pairs if costs[row, column] < FORBIDDEN)
