"""`denet serve` and `denet probe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import Bundle, Runtime
from tests.command import denet, refused

if TYPE_CHECKING:
    from tests.runtime.serve.played import Played


def test_a_bundle_is_written_and_replaced(bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "repository"
    arguments = ("serve", bundle_path, "--out", out, "--name", "gate", "--batch", 4)
    done = denet(
        *arguments, "--backend", "ort-cpu", "--threads", 2, "--delay", 0.5, "--processes", 3
    )
    assert done.exit_code == 0, done.output
    text = (out / "gate" / "config.pbtxt").read_text()
    for line in (
        'name: "gate"',
        "max_batch_size: 4",
        "max_queue_delay_microseconds: 500",
        "instance_group { count: 3 kind: KIND_CPU }",
        'parameters { key: "backend" value { string_value: "ort-cpu" } }',
        'parameters { key: "threads" value { string_value: "2" } }',
    ):
        assert line in text.splitlines() or line in text, line
    refused(denet(*arguments), "exists already", "--force")
    assert denet(*arguments, "--force").exit_code == 0


def test_what_cannot_be_written_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(denet("serve", tmp_path / "none.denet", "--out", tmp_path / "r"), "no such bundle")
    refused(denet("serve", bundle_path, "--out", tmp_path / "file"), "is a file")
    refused(denet("serve", bundle_path, "--out", tmp_path / "r", "--name", "../r"), "--name")
    for processes in (0, 65):
        arguments = ("serve", bundle_path, "--out", tmp_path / "r", "--processes", processes)
        refused(denet(*arguments), f"--processes {processes}", "1 to 64")
    assert not (tmp_path / "r").exists()


def test_a_probe_tells_what_a_server_has(played: Played, runtime: Runtime) -> None:
    done = denet("probe", played.address, "--against", runtime.bundle.root, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["server"] == played.address
    assert facts["checkpoint"] == runtime.bundle.manifest.checkpoint_sha256
    assert facts["modalities"] == list(runtime.graph.modalities)
    assert facts["precision"] == runtime.variant
    assert min(facts["canary"].values()) > 0.9999
    done = denet("probe", played.address)
    assert "embeds in all states by bundle" in " ".join(done.stdout.split())


def test_a_probe_of_a_server_that_does_not_work(
    played: Played, other_model: Runtime, tmp_path: Path
) -> None:
    other: Bundle = other_model.bundle
    refused(denet("probe", played.address, "--against", other.root), "does not serve")
    refused(denet("probe", played.address, "--against", tmp_path), "not a bundle")
    played.spoil = lambda _answer: b""
    refused(denet("probe", played.address), "other tensors")
    played.stop()
    refused(denet("probe", played.address), "cannot be reached")


@pytest.mark.parametrize("address", ["", "here", "grpc://192.168.0.1"])
def test_addresses_that_are_none(address: str) -> None:
    refused(denet("probe", address), "grpc")
