"""Thresholds."""

from __future__ import annotations

import msgspec
import pytest

from runtime.node.health import Limits, LimitsError


def test_limits_are_read_strictly() -> None:
    read = msgspec.convert({"size": [640, 512], "range16": [0, 16383]}, Limits)
    assert (read.size, read.range16) == ((640, 512), (0, 16383))
    for wrong, words in (
        ({"stale": 1.0}, "unknown field `stale`"),
        ({"black_share": 1.5}, "black_share"),
        ({"range16": [7, 7]}, "range16 are 7 and 7: the first must be less"),
    ):
        with pytest.raises(msgspec.ValidationError, match=words):
            msgspec.convert(wrong, Limits)
    with pytest.raises(LimitsError):
        Limits(black_level=250.0)
