"""A machine at a moment."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from runtime.machine.files import ROOT, number, text
from runtime.machine.gpu import Gpu, find_gpu
from runtime.machine.jetson import Jetson, read_jetson
from runtime.machine.nvidia import (
    GpuState,
    cuda_version,
    kernel_driver,
    nvidia_card,
    read_gpu_state,
)
from runtime.machine.power import read_watts
from runtime.machine.processor import Cpu, MachineMemory, read_cpu, read_memory
from runtime.machine.throttling import limits_in_force

GIB = 2**30


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine at a moment; `msgspec.json.encode` makes JSON of it.

    Attributes:
        cpu: its processor.
        memory: its main memory.
        system: such as "Ubuntu 22.04.5 LTS".
        kernel: such as "5.15.148-tegra".
        container: "docker", "podman", ... inside of one.
        load: processes that ran or waited to, averaged over 1, 5 and 15 minutes.
        gpu: CUDA device 0.
        gpu_state: of that GPU, from nvidia-smi.
        nvidia_card: whether a PCI card of NVIDIA is there, with a driver or without.
        cuda: the CUDA version that the driver is for, such as "12.6".
        driver: the version of NVIDIA's driver.
        jetson: what is a Jetson's, on one.
        celsius: temperature by thermal zone.
        watts: power by rail.
        limits: what slows it down at this moment; see `limits_in_force`.
    """

    cpu: Cpu
    memory: MachineMemory | None
    system: str | None
    kernel: str | None
    container: str | None
    load: tuple[float, float, float] | None
    gpu: Gpu | None
    gpu_state: GpuState | None
    nvidia_card: bool
    cuda: str | None
    driver: str | None
    jetson: Jetson | None
    celsius: dict[str, float]
    watts: dict[str, float]
    limits: tuple[str, ...]

    def describe(self) -> list[str]:
        """For a person, line by line: "CPU: AMD EPYC, 2 cores, 4 threads"."""
        return [f"{name}: {value}" for name, value in self.rows()]

    def rows(self) -> list[tuple[str, str]]:
        """The same as names and values."""
        rows = {
            "CPU": _cpu(self.cpu),
            "CPU clock": _cpu_clock(self.cpu),
            "load": " ".join(f"{value:.2f}" for value in self.load or ()),
            "memory": _memory(self.memory) if self.memory else "",
            "system": _joined(self.system, self.kernel, self.cpu.architecture),
            "container": self.container,
            "Jetson": _jetson(self.jetson) if self.jetson else "",
            "power mode": _power_mode(self.jetson) if self.jetson else "",
            "GPU": _gpu(self.gpu, self.nvidia_card),
            "GPU state": _gpu_state(self.gpu_state) if self.gpu_state else "",
            "driver": _joined(self.driver, self.cuda and f"CUDA {self.cuda}"),
            "power": ", ".join(f"{name} {watts:.1f} W" for name, watts in self.watts.items()),
            "temperature": ", ".join(f"{name} {c:.0f} °C" for name, c in self.celsius.items()),
            "slowed by": ", ".join(self.limits),
        }
        return [(name, value) for name, value in rows.items() if value]


def read_machine(root: Path = ROOT) -> Machine:
    """The machine whose files are under `root`."""
    state, driver = read_gpu_state(root)
    return Machine(
        cpu=read_cpu(root),
        memory=read_memory(root),
        system=_release(root),
        kernel=text(root / "proc/sys/kernel/osrelease"),
        container=_container(root),
        load=_load(root),
        gpu=find_gpu(),
        gpu_state=state,
        nvidia_card=nvidia_card(root),
        cuda=cuda_version(),
        driver=kernel_driver(root) or driver,
        jetson=read_jetson(root),
        celsius=_temperatures(root),
        watts=read_watts(root),
        limits=limits_in_force(root),
    )


def _release(root: Path) -> str | None:
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)', text(root / "etc/os-release") or "", re.MULTILINE)
    return name[1] if name else None


def _container(root: Path) -> str | None:
    for file, name in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / file).exists():
            return name
    if told := text(root / "run/systemd/container"):
        return told
    groups = text(root / "proc/1/cgroup") or ""
    found = re.search(r"docker|kubepods|containerd|lxc", groups)
    return found[0] if found else None


def _load(root: Path) -> tuple[float, float, float] | None:
    told = re.match(r"([\d.]+) ([\d.]+) ([\d.]+)", text(root / "proc/loadavg") or "")
    return (float(told[1]), float(told[2]), float(told[3])) if told else None


def _temperatures(root: Path) -> dict[str, float]:
    celsius: dict[str, float] = {}
    for folder in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind = (text(folder / "type") or folder.name).removesuffix("-thermal")
        value = number(folder / "temp")  # thousandths; unreadable while its part is off
        if value is not None:
            celsius.setdefault(kind, value / 1000)
    return celsius


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def _counted(count: float, what: str) -> str:
    return f"{count:g} {what}{'' if count == 1 else 's'}"


def _cpu(cpu: Cpu) -> str:
    return _joined(
        cpu.model or "unknown",
        cpu.cores and _counted(cpu.cores, "core"),
        cpu.threads != cpu.cores and cpu.threads and _counted(cpu.threads, "thread"),
        cpu.allowed and f"{_counted(cpu.allowed, 'CPU')} allowed",
        cpu.affinity and cpu.affinity != cpu.threads and f"{cpu.affinity} by affinity",
        " ".join(cpu.instructions),
    )


def _cpu_clock(cpu: Cpu) -> str:
    return _joined(
        cpu.mhz and f"{cpu.mhz} MHz" + (f" of {cpu.max_mhz}" if cpu.max_mhz else ""),
        cpu.governor and f"governor {cpu.governor}",
    )


def _memory(memory: MachineMemory) -> str:
    swap = f"{memory.swap / GIB:.1f} GiB swap" if memory.swap else "no swap"
    return f"{memory.total / GIB:.1f} GiB, {memory.available / GIB:.1f} available, {swap}"


def _gpu(gpu: Gpu | None, card: bool) -> str:
    if gpu is not None:
        major, minor = gpu.compute_capability
        return (
            f"{gpu.name}, compute capability {major}.{minor}, {gpu.multiprocessors} multiprocessors"
        )
    return "an NVIDIA card, but no CUDA driver that sees it" if card else "none that CUDA sees"


def _gpu_state(state: GpuState) -> str:
    return _joined(
        state.memory_mib and f"{state.memory_mib} MiB",
        state.mhz and f"{state.mhz} MHz" + (f" of {state.max_mhz}" if state.max_mhz else ""),
        state.watts and f"{state.watts:.0f} W",
        state.watts_limit and f"at most {state.watts_limit:.0f} W",
        state.celsius and f"{state.celsius} °C",
    )


def _jetson(jetson: Jetson) -> str:
    by = " (by its Jetson Linux)" if jetson.jetpack_from == "l4t" else ""
    return _joined(
        jetson.model,
        jetson.jetpack and f"JetPack {jetson.jetpack}{by}",
        jetson.l4t and f"Jetson Linux {jetson.l4t}",
    )


def _power_mode(jetson: Jetson) -> str:
    locked = {True: "clocks held at their highest", False: "clocks change", None: None}
    return _joined(
        jetson.power_mode,
        jetson.gpu_mhz and f"GPU {jetson.gpu_mhz[0]} MHz of {jetson.gpu_mhz[1]}",
        locked[jetson.clocks_locked],
    )
