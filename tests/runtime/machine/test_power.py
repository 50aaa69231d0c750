"""Power rails, and the energy that they take."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import runtime.machine.facts
import runtime.machine.files
import runtime.machine.nvidia
import runtime.machine.power
from runtime.machine import PowerMeter, module_total
from runtime.machine.power import find_rails
from tests.runtime.machine.machines import desktop, orin, write


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set; nothing is read in between."""
    now = [1000.0]
    monkeypatch.setattr(runtime.machine.power.time, "monotonic", lambda: now[0])
    return now


def test_energy_of_a_constant_and_of_a_rising_power(tmp_path: Path, clock: list[float]) -> None:
    orin(tmp_path)
    with PowerMeter(tmp_path, period=3600) as meter:
        clock[0] += 4
        write(tmp_path, {"sys/class/hwmon/hwmon1/curr1_input": 4000})  # from 10 W to 20 W
    assert meter.seconds == 4
    energy = meter.energy()
    assert energy == pytest.approx({"VDD_IN": 60.0, "VDD_CPU_GPU_CV": 8.0})
    assert module_total(energy or {}) == pytest.approx(60.0)


def test_energy_is_of_the_readings_that_succeed(tmp_path: Path, clock: list[float]) -> None:
    write(orin(tmp_path), {"sys/class/hwmon/hwmon1/in2_input": "nonsense"})
    with PowerMeter(tmp_path, period=3600) as meter:
        clock[0] += 2
        meter._read()
        clock[0] += 2
        (tmp_path / "sys/class/hwmon/hwmon1/curr1_input").unlink()
    assert meter.energy() == pytest.approx({"VDD_IN": 20.0})


def test_rails_are_read_while_the_work_runs(tmp_path: Path) -> None:
    orin(tmp_path)
    with PowerMeter(tmp_path, period=0.001) as meter:
        while not (meter.energy() or {}).get("VDD_IN"):
            time.sleep(0.001)
    energy = meter.energy()
    assert energy is not None
    assert energy["VDD_IN"] == pytest.approx(5 * energy["VDD_CPU_GPU_CV"], rel=0.5)
    assert not meter._thread.is_alive()


def test_without_rails_there_is_no_energy(tmp_path: Path) -> None:
    with PowerMeter(desktop(tmp_path)) as meter:
        assert not meter._thread.is_alive()
    assert meter.energy() is None
    assert meter.seconds >= 0


def test_a_meter_stops_when_the_work_fails(tmp_path: Path) -> None:
    meter = PowerMeter(orin(tmp_path))
    with pytest.raises(ZeroDivisionError), meter:
        raise ZeroDivisionError
    assert not meter._thread.is_alive()


def test_rails_of_the_driver_before_jetpack_5(tmp_path: Path) -> None:
    folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    write(tmp_path, {f"{folder}/rail_name_0": "POM_5V_IN", f"{folder}/in_power0_input": 2500})
    (rail,) = find_rails(tmp_path)
    assert (rail.name, rail.watts()) == ("POM_5V_IN", 2.5)


def test_a_chip_that_is_bound_to_its_driver_only(tmp_path: Path) -> None:
    device = "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon2"
    write(tmp_path, {f"{device}/name": "ina3221", f"{device}/in1_label": "VIN_SYS_5V0"})
    write(tmp_path, {f"{device}/in1_input": 5000, f"{device}/curr1_input": 1000})
    (rail,) = find_rails(tmp_path)
    assert (rail.name, rail.watts()) == ("VIN_SYS_5V0", pytest.approx(5.0))


@pytest.mark.parametrize(
    ("rails", "total"),
    [
        ({"VDD_IN": 10.0, "VDD_SOC": 3.0}, 10.0),
        (
            {
                "VDD_GPU_SOC": 4.0,
                "VDD_CPU_CV": 2.0,
                "VIN_SYS_5V0": 5.0,
                "VDDQ_VDD2_1V8AO": 1.0,
            },
            11.0,
        ),
        ({"VIN": 23.0, "VDD_GPU": 5.0}, 23.0),
        ({"VDD_SOC": 3.0}, None),
        ({}, None),
    ],
)
def test_what_a_whole_module_takes(rails: dict[str, float], total: float | None) -> None:
    assert module_total(rails) == total
