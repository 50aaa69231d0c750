"""Power rails of a Jetson, and the energy that they take.

The files are described in the kernel's documentation of the drivers ina3221 and ina238; the names
of rails are from NVIDIA's developer guide for Jetson Linux 36.4.3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType

from runtime.machine.files import ROOT, number, text

WHOLE = (("VDD_IN",), ("VIN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
"""Rails that together are all there is: of Orin Nano and NX, of a Thor kit, of AGX Orin, whose
VDDQ_VDD2_1V8AO is a part of its VIN_SYS_5V0."""


@dataclass(frozen=True)
class Rail:
    """A power rail: its name, and the files whose product is its power in units of `unit` W."""

    name: str
    files: tuple[Path, ...]
    unit: float

    def watts(self) -> float | None:
        """Its power now; None where it cannot be read."""
        values = [value for file in self.files if (value := number(file)) is not None]
        return prod(values) * self.unit if len(values) == len(self.files) else None


def find_rails(root: Path = ROOT) -> list[Rail]:
    """The power rails that an INA3221 or INA238 measures; none on other machines."""
    drivers = root / "sys/bus/i2c/drivers"
    places = (
        (root / "sys/class/hwmon").glob("hwmon*"),
        drivers.glob("ina3221*/*/hwmon/hwmon*"),
        drivers.glob("ina3221*/*/iio:device*"),
    )
    folders = dict.fromkeys(folder.resolve() for place in places for folder in sorted(place))
    found: dict[str, Rail] = {}
    for folder in folders:
        for rail in _old_rails(folder) if folder.name.startswith("iio") else _rails(folder):
            found.setdefault(rail.name, rail)
    return list(found.values())


def _rails(folder: Path) -> list[Rail]:
    if not (text(folder / "name") or "").startswith("ina"):
        return []
    rails = []
    for current in sorted(folder.glob("curr[123]_input")):  # mA
        channel = current.name[len("curr")]
        label = text(folder / f"in{channel}_label") or text(folder / "label")
        power = folder / f"power{channel}_input"  # uW
        voltage = folder / f"in{channel}_input"  # mV
        if label and label != "NC":  # not connected
            rails.append(Rail(label, (power,) if power.exists() else (voltage, current), 1e-6))
    return rails


def _old_rails(folder: Path) -> list[Rail]:
    """Those of the driver ina3221x, before JetPack 5: rail_name_0, in_power0_input in mW."""
    rails = []
    for file in sorted(folder.glob("rail_name_*")):
        power = folder / f"in_power{file.name.removeprefix('rail_name_')}_input"
        if name := text(file):
            rails.append(Rail(name, (power,), 1e-3))
    return rails


def read_watts(root: Path = ROOT) -> dict[str, float]:
    """Power by rail now; empty where none is measured."""
    return {rail.name: watts for rail in find_rails(root) if (watts := rail.watts()) is not None}


def module_total(by_rail: Mapping[str, float]) -> float | None:
    """What a whole module takes, of watts or joules by rail; None where the rails do not tell."""
    for names in WHOLE:
        if all(name in by_rail for name in names):
            return sum(by_rail[name] for name in names)
    return None


class PowerMeter:
    """Energy by power rail, while it is entered, once.

        with PowerMeter() as meter:
            work()
        joules = meter.energy()

    A thread reads the rails every `period` seconds; between two readings, power is taken to
    change linearly. The first and the last are made on entering and leaving.
    """

    def __init__(self, root: Path = ROOT, period: float = 0.1) -> None:
        self._rails = find_rails(root)
        self._period = period
        self._joules: dict[str, float] = {}
        self._last: dict[str, tuple[float, float]] = {}
        self._began = self._ended = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="power meter", daemon=True)

    @property
    def seconds(self) -> float:
        """The time that `energy` is of."""
        return self._ended - self._began

    def energy(self) -> dict[str, float] | None:
        """Joules by rail, up to the latest reading; None where there are no rails."""
        with self._lock:
            return dict(self._joules) or None

    def __enter__(self) -> PowerMeter:
        self._read()
        self._began = self._ended
        if self._rails:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._rails:
            self._thread.join()
        self._read()

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            self._read()

    def _read(self) -> None:
        with self._lock:
            for rail in self._rails:
                watts, now = rail.watts(), time.monotonic()
                if watts is None:
                    continue
                before, then = self._last.get(rail.name, (watts, now))
                joules = (before + watts) / 2 * (now - then)
                self._joules[rail.name] = self._joules.get(rail.name, 0.0) + joules
                self._last[rail.name] = watts, now
            self._ended = time.monotonic()
