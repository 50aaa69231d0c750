"""What is read of a machine, from its files and tools."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

import runtime.machine.facts
import runtime.machine.files
import runtime.machine.nvidia
import runtime.machine.power
from runtime.machine import Machine, read_machine, throttle_counts
from runtime.machine.files import ask
from runtime.machine.gpu import Gpu
from runtime.machine.nvidia import cuda_version
from tests.runtime.machine.machines import RTX, become, desktop, orin, thor, tool, write


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
        "affinity": None,
        "default_threads": None,
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
