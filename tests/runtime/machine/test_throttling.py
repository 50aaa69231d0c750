"""Whether a machine slows itself down."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.machine import limits_in_force, throttle_counts
from tests.runtime.machine.machines import RTX, become, desktop, orin, tool, write


def test_counters_tell_that_a_machine_was_slowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, RTX)
    before = throttle_counts(desktop(tmp_path))
    # 4 cores of 3, 4 of 5: the kernel gives each CPU its package's count.
    assert before == {"CPU core": 12, "CPU package": 20, "GPU sw_power_cap": 5000} | {
        "GPU sw_thermal_slowdown": 0
    }
    write(tmp_path, {"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 4})
    after = throttle_counts(tmp_path)
    assert {name for name in after if after[name] > before[name]} == {"CPU core"}


def test_an_orin_counts_over_current(tmp_path: Path) -> None:
    assert throttle_counts(orin(tmp_path)) == {"oc1": 0, "oc3": 7}


def test_limits_that_are_in_force(tmp_path: Path) -> None:
    orin(tmp_path)
    assert limits_in_force(tmp_path) == ()
    write(tmp_path, {"sys/class/thermal/cooling_device1/cur_state": 1})
    assert limits_in_force(tmp_path) == ("gpu-throttle-alert",)


def test_older_drivers_have_another_name_for_the_reasons(tmp_path: Path) -> None:
    tool(
        tmp_path,
        "usr/bin/nvidia-smi",
        'test "$1" = --query-gpu=name,clocks_throttle_reasons.active || exit 2\n'
        'echo "Tesla T4, 0x0000000000000048"',
    )
    assert limits_in_force(tmp_path) == ("GPU hardware slowdown", "GPU temperature (hardware)")
