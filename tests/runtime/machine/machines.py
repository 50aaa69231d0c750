"""The files of machines: an Orin, a Thor and a desktop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import runtime.machine.facts
import runtime.machine.files
import runtime.machine.nvidia
import runtime.machine.power
from runtime.machine.gpu import Gpu

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
