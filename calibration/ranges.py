"""The range of a tensor, by each method that makes a scale of it."""

from __future__ import annotations

from typing import Literal

import msgspec

Method = Literal["minmax", "percentile", "entropy"]

PERCENTILE = 99.99
"""Of the values of a tensor, what the percentile method keeps inside its range, in per cent."""


class Ranges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The range of one tensor, lowest and highest, by each method.

    The last two are known of the engines that INT8 quantizes; of an edge, only what occurred.
    """

    minmax: tuple[float, float]
    percentile: tuple[float, float] | None = None
    entropy: tuple[float, float] | None = None

    def by(self, method: Method) -> tuple[float, float]:
        found: tuple[float, float] | None = getattr(self, method)
        return self.minmax if found is None else found
