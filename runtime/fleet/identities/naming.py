"""Which identity keeps which id, when tracks are joined anew."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PREFIX = "identity-"
"""Of all ids: no track is called so."""


def new_name() -> str:
    """The id of an identity that begins: random, so that it says nothing and is not used twice."""
    return f"{PREFIX}{secrets.token_hex(6)}"


def keep_names(
    labels: NDArray[np.int64], names: Sequence[str | None], settled: Mapping[int, str]
) -> list[str]:
    """The id of each track: an identity keeps the one that most of its tracks had.

    Args:
        labels: (N,) a number for each identity.
        names: of each track before; None if it had none.
        settled: by label: ids that stay where they are, whatever the others had.
    """
    kept, taken = dict(settled), set(settled.values())
    had = ((int(label), name) for label, name in zip(labels, names, strict=True) if name)
    # Of equal counts the earlier one is first.
    for (label, name), _ in Counter(had).most_common():
        if label not in kept and name not in taken:
            kept[label] = name
            taken.add(name)
    return [kept.setdefault(int(label), new_name()) for label in labels]
