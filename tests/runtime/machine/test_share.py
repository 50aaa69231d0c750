"""Affinity and quotas, from the files of made-up machines and from real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.machine import read_machine
from runtime.machine.share import affinity, default_threads, quota
from tests.paths import ROOT
from tests.runtime.machine.machines import write


def machine(root: Path, allowed: str, siblings: int = 1, threads: int = 8) -> Path:
    """One of `threads` hardware threads, `siblings` of them on each core."""
    cores = {
        n: f"{n // siblings * siblings}-{(n // siblings + 1) * siblings - 1}"
        for n in range(threads)
    }
    cpus = "sys/devices/system/cpu"
    write(root, {f"{cpus}/cpu{n}/topology/thread_siblings_list": c for n, c in cores.items()})
    return write(root, {"proc/self/status": f"Name:\tx\nCpus_allowed_list:\t{allowed}"})


@pytest.mark.parametrize(
    ("allowed", "siblings", "threads"),
    [
        ("0-7", 1, None),
        ("0-7", 2, None),
        ("0", 1, 1),
        ("0,1", 2, 1),
        ("0-3,6", 1, 5),
        ("0-3,6", 2, 3),
        ("0,2,4,6", 2, None),  # one thread of each core: all cores
    ],
)
def test_affinity_counts_cores(
    tmp_path: Path, allowed: str, siblings: int, threads: int | None
) -> None:
    assert default_threads(machine(tmp_path, allowed, siblings)) == threads


V2 = "0::{}"
V1 = "5:memory:/a\n4:cpu,cpuacct:{}\n0::/x"


@pytest.mark.parametrize(
    ("groups", "files", "cpus", "threads"),
    [
        (V2.format("/"), {"cpu.max": "max 100000"}, None, None),
        (V2.format("/"), {"cpu.max": "100000 100000"}, 1.0, 1),
        (V2.format("/"), {"cpu.max": "150000 100000"}, 1.5, 1),
        (V2.format("/"), {"cpu.max": "290000 100000"}, 2.9, 3),
        (V2.format("/"), {"cpu.max": "20000 100000"}, 0.2, 1),
        (V2.format("/"), {"cpu.max": "1600000 100000"}, 16.0, None),
        # The least of a service and of the slice that it is in.
        (
            V2.format("/system.slice/node.service"),
            {
                "system.slice/cpu.max": "200000 100000",
                "system.slice/node.service/cpu.max": "400000 100000",
            },
            2.0,
            2,
        ),
        # The host's path, which is not there in the container.
        (V2.format("/docker/abc"), {"cpu.max": "300000 100000"}, 3.0, 3),
        (V2.format("/../other"), {"cpu.max": "max 100000"}, None, None),
        (
            V1.format("/docker/abc"),
            {
                "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2.0,
            2,
        ),
        (
            V1.format("/"),
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
            0.5,
            1,
        ),
        (V1.format("/"), {"cpu/cpu.cfs_quota_us": "x", "cpu/cpu.cfs_period_us": "0"}, None, None),
    ],
)
def test_quotas_of_both_versions(
    tmp_path: Path, groups: str, files: dict[str, str], cpus: float | None, threads: int | None
) -> None:
    machine(tmp_path, "0-7")
    write(tmp_path, {"proc/self/cgroup": groups})
    write(tmp_path, {f"sys/fs/cgroup/{name}": content for name, content in files.items()})
    assert quota(tmp_path) == cpus
    assert default_threads(tmp_path) == threads
    cpu = read_machine(tmp_path).cpu
    assert (cpu.allowed, cpu.affinity, cpu.default_threads) == (cpus, 8, threads)


def test_the_least_of_both_counts_and_nothing_known_is_no_limit(tmp_path: Path) -> None:
    machine(tmp_path, "0-2")
    write(tmp_path, {"sys/fs/cgroup/cpu.max": "600000 100000"})
    assert default_threads(tmp_path) == 3
    assert "3 by affinity" in read_machine(tmp_path).describe()[0]
    assert default_threads(tmp_path / "empty") is None
    assert affinity(tmp_path / "empty") is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_a_process_that_is_bound_to_one_cpu_starts_one_thread() -> None:
    cpu = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        "from runtime.backends.onnxruntime.session import Pool\n"
        "from runtime.machine.share import affinity\n"
        "Pool.ensure(None)\n"
        "print(sorted(affinity()), Pool.size, Pool.threads)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    several = len(os.sched_getaffinity(0)) > 1 and (os.cpu_count() or 1) > 1
    assert done.stdout.split("]")[0] == f"[{cpu}"
    if several:
        assert done.stdout.split() == [f"[{cpu}]", "1", "None"]
