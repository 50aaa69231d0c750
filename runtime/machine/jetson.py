"""What a Jetson tells of itself: JetPack, power mode, and clocks.

The files are those that jetson_stats (jtop) reads on Jetson Linux 36 and 38.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from runtime.machine.files import ask, number, text

JETPACK = {
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "38.2.0": "7.0",
    "38.2.1": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
}
"""JetPack by its Jetson Linux (NVIDIA's JetPack archive)."""

JETPACK_MAJOR = {"35": "5.x", "36": "6.x", "38": "7.x", "39": "7.x"}
"""As much as is told by any other Jetson Linux."""


class Jetson(msgspec.Struct, frozen=True, kw_only=True):
    """A Jetson; None for what it does not tell.

    Attributes:
        model: such as "NVIDIA Jetson Orin Nano Developer Kit".
        l4t: the version of Jetson Linux, such as "36.4.3".
        jetpack: such as "6.2.1"; "6.x" where Jetson Linux tells no more.
        jetpack_from: the installed package nvidia-jetpack, or only Jetson Linux.
        power_mode: of nvpmodel, such as "MAXN_SUPER".
        clocks_locked: whether CPU and GPU have no clock but their highest, as after
            `jetson_clocks`.
        gpu_mhz: the GPU's clock now, and the highest that the power mode allows.
    """

    model: str | None
    l4t: str | None
    jetpack: str | None
    jetpack_from: Literal["package", "l4t"] | None
    power_mode: str | None
    clocks_locked: bool | None
    gpu_mhz: tuple[int, int] | None


def read_jetson(root: Path) -> Jetson | None:
    """The Jetson whose files are under `root`; None if that is another machine."""
    model = text(root / "proc/device-tree/model")
    l4t = _l4t(root)
    if l4t is None and not (model and "NVIDIA" in model):
        return None
    package = _installed_jetpack(root)
    by_l4t = l4t and (JETPACK.get(l4t) or JETPACK_MAJOR.get(l4t.partition(".")[0]))
    clocks = _gpu_clocks(root)
    return Jetson(
        model=model,
        l4t=l4t,
        jetpack=package or by_l4t,
        jetpack_from="package" if package else "l4t" if by_l4t else None,
        power_mode=_power_mode(root),
        clocks_locked=_clocks_locked(root, clocks),
        gpu_mhz=(clocks[2] // 10**6, clocks[1] // 10**6) if clocks else None,
    )


def _l4t(root: Path) -> str | None:
    """36.4.3 of "# R36 (release), REVISION: 4.3, GCID: ..."."""
    release = text(root / "etc/nv_tegra_release") or ""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    return f"{found[1]}.{found[2]}" if found else None


def _installed_jetpack(root: Path) -> str | None:
    status = text(root / "var/lib/dpkg/status") or ""
    entry = re.search(r"^Package: nvidia-jetpack\n((?:.+\n?)*)", status, re.MULTILINE)
    if entry is None or "Status: install ok installed" not in entry[1]:
        return None
    version = re.search(r"^Version: (\d+(?:\.\d+)*)", entry[1], re.MULTILINE)
    return version[1] if version else None


def _power_mode(root: Path) -> str | None:
    told = re.search(r"NV Power Mode: *(\S+)", ask(root, "nvpmodel", "-q") or "")
    if told:
        return told[1]
    number_of_it = re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status") or "")
    modes = text(root / "etc/nvpmodel.conf") or ""
    for mode in re.finditer(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", modes):
        if number_of_it and int(mode[1]) == int(number_of_it[1]):
            return mode[2]
    return None


def _gpu_clocks(root: Path) -> tuple[int, int, int] | None:
    """Least, highest and present clock of the GPU in Hz.

    Its folder is 17000000.gpu on JetPack 6, 17000000.ga10b before, gpu-gpc-0 on a Thor.
    """
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        if re.search(r"\.(gpu|ga10b)$|^gpu-gpc", folder.name):
            low, high, now = (number(folder / f"{which}_freq") for which in ("min", "max", "cur"))
            if low is not None and high is not None and now is not None:
                return low, high, now
    return None


def _clocks_locked(root: Path, gpu: tuple[int, int, int] | None) -> bool | None:
    ranges = [gpu[:2]] if gpu else []
    for folder in (root / "sys/devices/system/cpu/cpufreq").glob("policy*"):
        low, high = (number(folder / f"scaling_{which}_freq") for which in ("min", "max"))
        if low is not None and high is not None:
            ranges.append((low, high))
    return all(low == high for low, high in ranges) if ranges else None
