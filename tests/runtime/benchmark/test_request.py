"""What a user may ask for."""

from __future__ import annotations

import pytest

from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.request import read_request


def test_lists_are_written_with_commas() -> None:
    request = read_request(
        backend="ort-cpu, auto", precision="fp32,int8,fp32", parts="limits, states", batches="8,1"
    )
    assert request.backends == ("ort-cpu", "auto")
    assert request.precisions == ("fp32", "int8")
    assert request.parts == ("states", "limits")
    assert request.batches == (1, 8)


@pytest.mark.parametrize("batches", ["", "0", "1,x", "1000", "-1,2"])
def test_batches_are_numbers_of_samples(batches: str) -> None:
    with pytest.raises(BenchmarkError, match="batches"):
        read_request(backend="", precision="", parts=None, batches=batches)


@pytest.mark.parametrize("parts", ["states,latency", ","])
def test_parts_are_known(parts: str) -> None:
    with pytest.raises(BenchmarkError, match="choose from states, batches"):
        read_request(backend="", precision="", parts=parts, batches="1")
