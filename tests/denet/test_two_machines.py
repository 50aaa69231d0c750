"""Two machines train together: network namespaces that share a cable and the disk, no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.run import BEST, LAST, Run
from tests.denet.launching import several, toml

ADDRESSES = ("10.213.7.1", "10.213.7.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two namespaces with a network of their own between them, and no other."""
    names = (f"denet-a-{os.getpid()}", f"denet-b-{os.getpid()}")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root, and ip of iproute2")
    with ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "delete", name)
            ends = [("type", "veth", "peer", "name", "cable", "netns", names[1])]
            ip("link", "add", "cable", "netns", names[0], *ends[0])
            for name, address in zip(names, ADDRESSES, strict=True):
                ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
                for device in ("lo", "cable"):
                    ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield names


@pytest.mark.slow
def test_two_machines_train_what_two_processes_train(
    machines: tuple[str, str], tmp_path: Path
) -> None:
    root, recipe = tmp_path / "synthetic", tmp_path / "r.toml"
    write_synthetic(root, SyntheticConfig(identities=10, cameras=2, shots=2, height=32, width=16))
    recipe.write_text(toml())
    one = several(root, tmp_path / "one", recipe)
    _, stderr = one.communicate(timeout=300)
    assert one.returncode == 0, stderr

    out = tmp_path / "two"
    processes = [
        several(
            root,
            out,
            recipe,
            within=("ip", "netns", "exec", name),
            launch=(
                *("--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"),
                *("--master-addr", ADDRESSES[0], "--master-port", "29500"),
            ),
            GLOO_SOCKET_IFNAME="cable",
        )
        for rank, name in enumerate(machines)
    ]
    told = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert (out / LAST).read_bytes() == (tmp_path / "one" / LAST).read_bytes()
    # Only the first machine prints and writes.
    assert told[0][0] == f"{out / BEST}: the best checkpoint\n"
    assert told[1][0] == ""
    origin = Run(out).origin()
    assert origin is not None
    assert origin.processes == 2
