"""Facts of a machine, read from the files of others: a Jetson Orin with JetPack 6, a Thor with
JetPack 7, an x86 PC with a GPU, and an empty container. The files are written here as NVIDIA's and
the kernel's documentation have them; only the last test reads this machine."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import runtime.machine.facts
import runtime.machine.files
import runtime.machine.nvidia
import runtime.machine.power
from runtime.machine import (
    Machine,
    PowerMeter,
    limits_in_force,
    module_total,
    read_machine,
    throttle_counts,
)
from runtime.machine.files import ask
from runtime.machine.gpu import Gpu
from runtime.machine.nvidia import cuda_version
from runtime.machine.power import find_rails

RTX = Gpu("NVIDIA GeForce RTX 4090", (8, 9), 128, False)


def write(root: Path, files: Mapping[str, object]) -> Path:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


def tool(root: Path, name: str, script: str) -> None:
    """A program of that machine."""
    write(root, {name: f"#!/bin/sh\n{script}"})
    (root / name).chmod(0o755)


def orin(root: Path) -> Path:
    """A Jetson Orin Nano with JetPack 6.2, its clocks held."""
    cpu = "processor\t: {}\nFeatures\t: fp asimd asimdhp asimddp\nCPU part\t: 0xd42\n"
    write(
        root,
        {
            "proc/cpuinfo": "\n".join(cpu.format(index) for index in range(6)),
            "proc/meminfo": "MemTotal: 7802332 kB\nMemAvailable: 5000000 kB\nSwapTotal: 3901160 kB",
            "proc/loadavg": "0.52 0.58 0.59 1/389 4123",
            "proc/sys/kernel/osrelease": "5.15.148-tegra",
            "proc/sys/kernel/arch": "aarch64",
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit Super\0",
            "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"',
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: x",
            "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
            "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\nCPU_ONLINE CORE_0 1\n< PM_CONFIG DEFAULT=0 >",
            "var/lib/nvpmodel/status": "pmode:0002 fmode:fan_mode_quiet",
            "var/lib/dpkg/status": "Package: nvidia-jetpack-dev\nStatus: install ok installed\n"
            "Version: 9.9+b1\n\nPackage: nvidia-jetpack\nStatus: install ok installed\n"
            "Priority: standard\nVersion: 6.2+b77\nDescription: NVIDIA Jetpack Meta Package",
        },
    )
    cpus = "sys/devices/system/cpu"
    write(root, {f"{cpus}/cpu{n}/topology/thread_siblings_list": n for n in range(6)})
    for policy in (0, 4):
        clocks = ("scaling_min_freq", "scaling_max_freq", "scaling_cur_freq", "cpuinfo_max_freq")
        folder = f"{cpus}/cpufreq/policy{policy}"
        write(root, {f"{folder}/{clock}": 1728000 for clock in clocks})
        write(root, {f"{folder}/scaling_governor": "schedutil"})
    clocks = ("min_freq", "max_freq", "cur_freq")
    write(root, {f"sys/class/devfreq/17000000.gpu/{clock}": 1020000000 for clock in clocks})
    write(root, {f"sys/class/devfreq/154c0000.nvenc/{clock}": n for n, clock in enumerate(clocks)})
    ina = "sys/class/hwmon/hwmon1"
    write(
        root,
        {
            f"{ina}/name": "ina3221",
            f"{ina}/in1_label": "VDD_IN",
            f"{ina}/in1_input": 5000,
            f"{ina}/curr1_input": 2000,
            f"{ina}/in2_label": "VDD_CPU_GPU_CV",
            f"{ina}/in2_input": 5000,
            f"{ina}/curr2_input": 400,
            f"{ina}/in3_label": "NC",
            f"{ina}/in3_input": 5000,
            f"{ina}/curr3_input": 9999,
            f"{ina}/in4_input": 80,
            f"{ina}/curr4_input": 2400,
            f"{ina}/in7_label": "sum of shunt voltages",
            f"{ina}/in7_input": 480,
            "sys/class/hwmon/hwmon0/name": "soctherm_oc",
            "sys/class/hwmon/hwmon0/oc1_event_cnt": 0,
            "sys/class/hwmon/hwmon0/oc3_event_cnt": 7,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": 48500,
            "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
            "sys/class/thermal/cooling_device0/type": "pwm-fan",
            "sys/class/thermal/cooling_device0/cur_state": 3,
            "sys/class/thermal/cooling_device1/type": "gpu-throttle-alert",
            "sys/class/thermal/cooling_device1/cur_state": 0,
        },
    )
    (root / "sys/class/thermal/thermal_zone1/temp").mkdir()  # cannot be read: its part is off
    device = root / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon"
    device.mkdir(parents=True)
    (device / "hwmon1").symlink_to(root / ina)
    return root


def thor(root: Path) -> Path:
    """A Jetson Thor with JetPack 7.1, whose package is not installed, and clocks that change."""
    write(
        root,
        {
            "proc/cpuinfo": "processor : 0\nFeatures : asimddp i8mm\nCPU part : 0xd83",
            "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit",
            "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for "
            "aarch64  580.00  Release Build  (bugfix)  Tue Aug 12\nGCC version: gcc 13.3.0",
            "etc/nv_tegra_release": "# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: x",
            "var/lib/dpkg/status": "Package: nvidia-jetpack\nStatus: deinstall ok config-files\n"
            "Version: 6.0+b1",
            "sys/class/devfreq/gpu-gpc-0/min_freq": 306000000,
            "sys/class/devfreq/gpu-gpc-0/max_freq": 1575000000,
            "sys/class/devfreq/gpu-gpc-0/cur_freq": 1500000000,
            "sys/class/hwmon/hwmon0/name": "ina238",
            "sys/class/hwmon/hwmon0/label": "VIN",
            "sys/class/hwmon/hwmon0/in0_input": 1,
            "sys/class/hwmon/hwmon0/in1_input": 19700,
            "sys/class/hwmon/hwmon0/curr1_input": 9999,
            "sys/class/hwmon/hwmon0/power1_input": 23500000,
            "sys/class/hwmon/hwmon1/name": "ina3221",
            "sys/class/hwmon/hwmon1/in1_label": "VDD_GPU",
            "sys/class/hwmon/hwmon1/in1_input": 19600,
            "sys/class/hwmon/hwmon1/curr1_input": -20,
        },
    )
    tool(root, "usr/sbin/nvpmodel", 'test "$1" = -q && echo "NV Power Mode: 120W" && echo 1')
    return root


SMI = """
case "$1" in
--query-gpu=name,driver_version,*)
    echo "NVIDIA T400, 999.1, 2048, 300, 1425, [N/A], [N/A], 41"
    echo "NVIDIA GeForce RTX 4090, 570.86.15, 24564, 2520, 3120, 61.40, 450.00, 44" ;;
--query-gpu=name,clocks_event_reasons_counters.*)
    echo "NVIDIA T400, 1, 1, 1"
    echo "NVIDIA GeForce RTX 4090, 5000, 0, [N/A]" ;;
--query-gpu=name,clocks_event_reasons.active)
    echo "NVIDIA T400, 0x0000000000000001"
    echo "NVIDIA GeForce RTX 4090, 0x0000000000000025" ;;
*) echo "Field is not a valid field to query."; exit 2 ;;
esac"""


def desktop(root: Path) -> Path:
    """An x86 PC: two cores with two threads each, and two NVIDIA GPUs."""
    cpu = (
        "processor\t: {}\nmodel name\t: 13th Gen Intel(R) Core(TM) i3\ncpu MHz\t\t: 3400.5\n"
        "flags\t\t: fpu avx2 avx_vnni avx_vnni_int8\n"
    )
    cpus = "sys/devices/system/cpu"
    write(
        root,
        {
            "proc/cpuinfo": "\n".join(cpu.format(index) for index in range(4)),
            "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  "
            "570.86.15  Fri Jan 24",
            "etc/os-release": "PRETTY_NAME=Arch",
            f"{cpus}/cpufreq/policy0/scaling_governor": "powersave",
            f"{cpus}/cpufreq/policy0/cpuinfo_max_freq": 4500000,
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de",
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030000",
            "sys/bus/pci/devices/0000:00:1f.0/vendor": "0x8086",
            "sys/bus/pci/devices/0000:00:1f.0/class": "0x060100",
        },
    )
    for index in range(4):
        folder = f"{cpus}/cpu{index}"
        write(root, {f"{folder}/topology/thread_siblings_list": f"{index % 2},{index % 2 + 2}"})
        write(root, {f"{folder}/thermal_throttle/core_throttle_count": 3})
        write(root, {f"{folder}/thermal_throttle/package_throttle_count": 5})
    tool(root, "usr/bin/nvidia-smi", SMI)
    return root


def become(monkeypatch: pytest.MonkeyPatch, gpu: Gpu | None, cuda: str | None = None) -> None:
    """What the CUDA driver says is not in files."""
    monkeypatch.setattr(runtime.machine.facts, "find_gpu", lambda: gpu)
    monkeypatch.setattr(runtime.machine.nvidia, "find_gpu", lambda: gpu)
    monkeypatch.setattr(runtime.machine.facts, "cuda_version", lambda: cuda)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, None)


def test_an_orin(tmp_path: Path) -> None:
    machine = read_machine(orin(tmp_path))
    assert machine.jetson is not None
    assert msgspec.to_builtins(machine.jetson) == {
        "model": "NVIDIA Jetson Orin Nano Developer Kit Super",
        "l4t": "36.4.3",
        "jetpack": "6.2",
        "jetpack_from": "package",
        "power_mode": "MAXN_SUPER",
        "clocks_locked": True,
        "gpu_mhz": (1020, 1020),
    }
    assert msgspec.to_builtins(machine.cpu) == {
        "model": "Cortex-A78AE",
        "architecture": "aarch64",
        "cores": 6,
        "threads": 6,
        "allowed": None,
        "instructions": ("dotprod",),
        "governor": "schedutil",
        "mhz": 1728,
        "max_mhz": 1728,
    }
    assert machine.memory is not None
    assert machine.memory.total == 7802332 * 1024
    assert machine.memory.swap == 3901160 * 1024
    assert machine.watts == pytest.approx({"VDD_IN": 10.0, "VDD_CPU_GPU_CV": 2.0})
    assert machine.celsius == {"cpu": 48.5}
    assert machine.limits == ()
    assert machine.load == (0.52, 0.58, 0.59)
    assert machine.system == "Ubuntu 22.04.5 LTS"
    assert machine.kernel == "5.15.148-tegra"
    assert machine.container is None
    lines = machine.describe()
    assert (
        "Jetson: NVIDIA Jetson Orin Nano Developer Kit Super, JetPack 6.2, Jetson Linux 36.4.3"
        in lines
    )
    assert "power mode: MAXN_SUPER, GPU 1020 MHz of 1020, clocks held at their highest" in lines
    assert "power: VDD_IN 10.0 W, VDD_CPU_GPU_CV 2.0 W" in lines


def test_a_thor(tmp_path: Path) -> None:
    machine = read_machine(thor(tmp_path))
    assert machine.jetson is not None
    assert machine.jetson.jetpack == "7.1"
    assert machine.jetson.jetpack_from == "l4t"
    assert machine.jetson.power_mode == "120W"
    assert machine.jetson.clocks_locked is False
    assert machine.jetson.gpu_mhz == (1500, 1575)
    assert machine.cpu.model == "Neoverse-V3AE"
    assert machine.cpu.instructions == ("dotprod", "i8mm")
    assert machine.driver == "580.00"
    assert machine.watts == pytest.approx({"VIN": 23.5, "VDD_GPU": -0.392})
    assert any("JetPack 7.1 (by its Jetson Linux)" in line for line in machine.describe())


def test_a_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, RTX, "12.8")
    machine = read_machine(desktop(tmp_path))
    assert machine.jetson is None
    assert (machine.cpu.cores, machine.cpu.threads) == (2, 4)
    assert machine.cpu.instructions == ("avx2", "avx_vnni")
    assert (machine.cpu.mhz, machine.cpu.max_mhz) == (3400, 4500)
    assert machine.gpu == RTX
    assert machine.nvidia_card
    assert (machine.driver, machine.cuda) == ("570.86.15", "12.8")
    assert machine.gpu_state is not None  # of the second that nvidia-smi lists
    assert msgspec.structs.astuple(machine.gpu_state) == (24564, 2520, 3120, 61.4, 450.0, 44)
    assert machine.limits == ("GPU power cap", "GPU temperature (driver)")
    assert machine.watts == {}
    lines = machine.describe()
    assert "CPU: 13th Gen Intel(R) Core(TM) i3, 2 cores, 4 threads, avx2 avx_vnni" in lines
    assert "CPU clock: 3400 MHz of 4500, governor powersave" in lines
    assert "GPU state: 24564 MiB, 2520 MHz of 3120, 61 W, at most 450 W, 44 °C" in lines
    assert "driver: 570.86.15, CUDA 12.8" in lines


def test_what_nvidia_smi_does_not_tell_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, Gpu("Orin", (8, 7), 8, True))
    tool(tmp_path, "usr/bin/nvidia-smi", 'echo "Orin (nvgpu), 540.4.0, [N/A], [N/A], x, , -, y"')
    machine = read_machine(tmp_path)
    assert machine.gpu_state is not None
    assert set(msgspec.structs.astuple(machine.gpu_state)) == {None}
    assert machine.driver == "540.4.0"
    assert not any(line.startswith("GPU state") for line in machine.describe())


def test_an_empty_container(tmp_path: Path) -> None:
    write(tmp_path, {".dockerenv": "", "sys/fs/cgroup/cpu.max": "150000 100000"})
    machine = read_machine(tmp_path)
    assert machine.container == "docker"
    assert machine.cpu.allowed == 1.5
    assert "CPU: unknown, 1.5 CPUs allowed" in machine.describe()
    for field in ("memory", "system", "kernel", "load", "gpu_state", "driver", "jetson"):
        assert getattr(machine, field) is None
    assert throttle_counts(tmp_path) == {}


def test_nothing_at_all_is_no_error(tmp_path: Path) -> None:
    assert read_machine(tmp_path).describe()
    assert read_machine(tmp_path / "missing").cpu.cores is None


@pytest.mark.parametrize(
    ("files", "container"),
    [
        ({"run/.containerenv": ""}, "podman"),
        ({"run/systemd/container": "lxc"}, "lxc"),
        ({"proc/1/cgroup": "12:pids:/kubepods/besteffort/pod1"}, "kubepods"),
        ({"proc/1/cgroup": "0::/init.scope"}, None),
    ],
)
def test_containers(files: dict[str, str], container: str | None, tmp_path: Path) -> None:
    assert read_machine(write(tmp_path, files)).container == container


@pytest.mark.parametrize(
    ("release", "l4t", "jetpack"),
    [
        ("# R36 (release), REVISION: 4.4, GCID: 1", "36.4.4", "6.2.1"),
        ("# R36 (release), REVISION: 99.1, GCID: 1", "36.99.1", "6.x"),
        ("# R39 (release), REVISION: 2.1, GCID: 1", "39.2.1", "7.2.1"),
        ("# R41 (release), REVISION: 0.0, GCID: 1", "41.0.0", None),
    ],
)
def test_jetpack_by_jetson_linux(
    release: str, l4t: str, jetpack: str | None, tmp_path: Path
) -> None:
    jetson = read_machine(write(tmp_path, {"etc/nv_tegra_release": release})).jetson
    assert jetson is not None
    assert (jetson.l4t, jetson.jetpack) == (l4t, jetpack)
    assert jetson.jetpack_from == ("l4t" if jetpack else None)


def test_another_board_with_a_device_tree_is_no_jetson(tmp_path: Path) -> None:
    write(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0"})
    assert read_machine(tmp_path).jetson is None


def test_clocks_of_which_one_can_change_are_not_locked(tmp_path: Path) -> None:
    orin(tmp_path)
    write(tmp_path, {"sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq": 729600})
    jetson = read_machine(tmp_path).jetson
    assert jetson is not None
    assert jetson.clocks_locked is False


@pytest.mark.parametrize("status", ["pmode:0007", "nonsense", ""])
def test_a_power_mode_that_is_not_listed_is_unknown(status: str, tmp_path: Path) -> None:
    write(orin(tmp_path), {"var/lib/nvpmodel/status": status})
    jetson = read_machine(tmp_path).jetson
    assert jetson is not None
    assert jetson.power_mode is None


def test_a_card_without_a_driver(tmp_path: Path) -> None:
    shutil.rmtree(desktop(tmp_path) / "usr")
    machine = read_machine(tmp_path)
    assert "GPU: an NVIDIA card, but no CUDA driver that sees it" in machine.describe()


def test_the_version_of_the_cuda_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        code = 0

        def __init__(self, _: str) -> None: ...

        def cuDriverGetVersion(self, pointer: Any) -> int:  # noqa: N802
            pointer._obj.value = 12060
            return self.code

    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert cuda_version() == "12.6"
    Driver.code = 100
    assert cuda_version() is None

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert cuda_version() is None


# Slowing down


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


# Power


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


# Tools, JSON, and this machine


def test_tools_that_fail_hang_or_are_absent_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "usr/bin/good", "echo yes")
    tool(tmp_path, "usr/bin/bad", "echo no; exit 1")
    tool(tmp_path, "usr/bin/slow", "exec sleep 60")
    write(tmp_path, {"usr/bin/broken": "\0"})
    (tmp_path / "usr/bin/broken").chmod(0o755)
    assert ask(tmp_path, "good") == "yes\n"
    monkeypatch.setattr(runtime.machine.files, "PATIENCE", 0.05)
    assert [ask(tmp_path, name) for name in ("bad", "slow", "broken", "absent")] == [None] * 4


def test_json_has_these_fields_and_gives_the_machine_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, RTX, "12.8")
    machine = read_machine(orin(tmp_path))
    encoded = msgspec.json.encode(machine)
    assert msgspec.json.decode(encoded, type=Machine) == machine
    plain = msgspec.json.decode(encoded)
    assert list(plain) == [
        "cpu",
        "memory",
        "system",
        "kernel",
        "container",
        "load",
        "gpu",
        "gpu_state",
        "nvidia_card",
        "cuda",
        "driver",
        "jetson",
        "celsius",
        "watts",
        "limits",
    ]
    assert plain["gpu"]["compute_capability"] == [8, 9]
    assert plain["jetson"]["jetpack"] == "6.2"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs Linux")
def test_this_machine() -> None:
    machine = read_machine()
    assert machine.cpu.threads == os.cpu_count()
    assert machine.cpu.architecture == platform.machine()
    assert machine.kernel == platform.release()
    assert machine.memory is not None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine.memory.total == pytest.approx(pages, rel=0.01)
    assert 0 < machine.memory.available <= machine.memory.total
    assert machine.describe()
