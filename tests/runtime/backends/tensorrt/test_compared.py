"""Engines on a device are compared with their ONNX files."""

from __future__ import annotations

import pytest

from denet.graph import RGB_NIR_TIR
from export.tensorrt.check import check_engines
from runtime.backends.tensorrt.machine import BuildOptions
from tests.runtime.backends.tensorrt.machines import HERE, Machine, find_own, write_engines

ENGINES = RGB_NIR_TIR.engines


def test_every_engine_is_compared_with_its_onnx_file(machine: Machine) -> None:
    found = find_own(machine.bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    told: list[str] = []
    checked = check_engines(machine.bundle, found.engines, machine.open, told.append)
    assert set(checked) == set(told) == set(ENGINES)
    assert all(each.good and each.cosine > 0.999999 for each in checked.values())
    assert machine.device.closed
    assert not machine.device.complaints


@pytest.mark.parametrize(
    ("engine", "instead"),
    [
        ("branch_tir", "branch_nir"),
        ("cmft_tir2nir", "cmft_tir2rgb"),
        ("dem_nir2rgb", "dem_tir2rgb"),
    ],
)
def test_an_engine_that_computes_something_else_is_found(
    machine: Machine, engine: str, instead: str
) -> None:
    machine.instead = {engine: instead}
    found = find_own(machine.bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    checked = check_engines(machine.bundle, found.engines, machine.open)
    assert [name for name, each in checked.items() if not each.good] == [engine]


@pytest.mark.parametrize("batch", [(1, 1, 1), (3, 4, 4)])
def test_engines_are_compared_in_a_batch_that_they_take(
    machine: Machine, batch: tuple[int, int, int]
) -> None:
    write_engines(machine.bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions(batch=batch))
    found = find_own(machine.bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    checked = check_engines(machine.bundle, found.engines, machine.open)
    assert all(each.good for each in checked.values())
