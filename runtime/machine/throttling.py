"""Whether a machine slows itself down: too hot, or too much current."""

from __future__ import annotations

from pathlib import Path

from runtime.machine.files import ROOT, number, text
from runtime.machine.nvidia import query

SLOWDOWNS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "temperature (driver)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}
"""Bits of NVML's `nvmlClocksEventReasons` that are a limit, and not idling or a setting."""

REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""What nvidia-smi calls these bits, with newer and with older drivers."""

COUNTERS = ("sw_power_cap", "sw_thermal_slowdown", "hw_thermal_slowdown")


def throttle_counts(root: Path = ROOT) -> dict[str, int]:
    """Counters that grow when the machine slows itself down; compare two readings.

    - "CPU core", "CPU package": x86, how often each reached its highest temperature, summed;
    - "oc1", "oc2", ...: a Jetson, how often its supply sagged or it took too much current (an
      Orin: under-voltage, average and instantaneous over-current);
    - "GPU sw_power_cap" and others: microseconds for which nvidia-smi has the GPU so limited,
      with newer drivers.

    A machine may have none: that is no proof that it was not slowed. See `limits_in_force`.
    """
    counts: dict[str, int] = {}
    for level in ("core", "package"):
        pattern = f"cpu[0-9]*/thermal_throttle/{level}_throttle_count"
        files = (root / "sys/devices/system/cpu").glob(pattern)
        found = [count for file in files if (count := number(file)) is not None]
        if found:
            counts[f"CPU {level}"] = sum(found)
    for file in sorted((root / "sys/class/hwmon").glob("hwmon*/oc[0-9]*_event_cnt")):
        if (count := number(file)) is not None:
            counts[file.name.partition("_")[0]] = count
    told = query(root, *(f"clocks_event_reasons_counters.{name}" for name in COUNTERS))
    for field, value in told.items():
        if value.isdecimal():
            counts[f"GPU {field.partition('.')[2]}"] = int(value)
    return counts


def limits_in_force(root: Path = ROOT) -> tuple[str, ...]:
    """What slows the machine down at this moment: cooling devices that are at work (a fan is not
    such), and reasons that nvidia-smi has for the GPU's clock."""
    limits = []
    for folder in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind = text(folder / "type") or folder.name
        if (number(folder / "cur_state") or 0) > 0 and "fan" not in kind.lower():
            limits.append(kind)
    for name in REASONS:
        if (told := query(root, name).get(name, "")).startswith("0x"):
            bits = int(told, 16)
            limits += [f"GPU {what}" for bit, what in SLOWDOWNS.items() if bits & bit]
            break
    return tuple(dict.fromkeys(limits))
