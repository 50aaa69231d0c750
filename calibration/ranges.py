"""The range of a tensor, by each method that makes a scale of it."""

from __future__ import annotations

from typing import Literal

import msgspec

Method = Literal["minmax", "percentile", "entropy"]

LARGEST = 3.4028235e38
"""What float32 holds."""

PERCENTILE = 99.99
"""Of the values of a tensor, what the percentile method keeps inside its range, in per cent."""


class Ranges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The range of one tensor, lowest and highest, by each method.

    The last two are known of the engines that INT8 quantizes; of an edge, only what occurred.
    """

    minmax: tuple[float, float]
    percentile: tuple[float, float] | None = None
    entropy: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """See that each is a range.

        Raises:
            ValueError: one is not of two numbers, the lowest first.
        """
        for found in (self.minmax, self.percentile, self.entropy):
            if found is not None and not -LARGEST <= found[0] <= found[1] <= LARGEST:
                raise ValueError(f"a range goes from {found[0]} to {found[1]}")

    def by(self, method: Method) -> tuple[float, float]:
        found: tuple[float, float] | None = getattr(self, method)
        return self.minmax if found is None else found
