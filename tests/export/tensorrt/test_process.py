"""The process that builds, with a TensorRT that is played (tests/fake)."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from export.tensorrt import process
from export.tensorrt.request import BuildError, BuildProgress
from tests.export.tensorrt.parts import EDGE, request_for


def test_a_process_builds_and_tells_how_far_it_is(
    bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    played("noise")  # on standard output, where the events are
    told: list[BuildProgress] = []
    built = process.run(request_for(bundle_path, tmp_path), told.append)
    content = (tmp_path / "out.engine").read_bytes()
    assert (built.bytes, built.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert built.layers.fp32 > 0
    assert built.layers.int8 == built.layers.fp16 == 0
    assert [p.done for p in told] == [0.125, 0.25, 0.375, 0.5, 1.0]
    assert {p.phase for p in told} == {"timing", "building"}


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("kill", "was killed; if memory is short.*--workspace"),
        ("abort", "TensorRT crashed .signal 6."),
        ("raise", "the process that built it failed: what nobody thought of"),
        ("none", "^Error Code 10: no implementation for node X; what follows from that$"),
        ("memory", "OutOfMemory; if memory is short.*--workspace"),
        ("no-builder", "TensorRT does not start: CUDA initialization failure"),
    ],
)
def test_a_process_that_fails_says_why(
    mode: str, reason: str, bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    played(mode)
    with pytest.raises(BuildError, match=reason):
        process.run(request_for(bundle_path, tmp_path), lambda _: None)


def test_a_process_that_does_not_start_says_why(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "BOOT", "raise SystemExit('no such module')")
    with pytest.raises(BuildError, match="the process that built it failed: no such module"):
        process.run(request_for(bundle_path, tmp_path), lambda _: None)


def test_a_damaged_onnx_file_is_found_by_the_process(
    root: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    request = request_for(root, tmp_path)
    path = root / "onnx" / "fp32" / f"{EDGE}.onnx"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(BuildError, match=f"{EDGE}.onnx: damaged"):
        process.run(request, lambda _: None)


def test_an_output_that_cannot_be_written_is_told(
    bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    request = msgspec.structs.replace(
        request_for(bundle_path, tmp_path), output=str(tmp_path / "no" / "such")
    )
    with pytest.raises(BuildError, match="cannot be written: No such file"):
        process.run(request, lambda _: None)


def test_the_process_ends_with_its_parent(
    bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    played("hang")
    worker = subprocess.Popen(
        [sys.executable, "-c", process.BOOT, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(msgspec.json.encode(request_for(bundle_path, tmp_path)) + b"\n")
    worker.stdin.flush()
    assert b"timing" in worker.stdout.readline()  # it is in the middle of it
    worker.stdin.close()  # as the system does when the parent is gone
    try:
        assert worker.wait(timeout=60) == 1
    finally:
        worker.kill()
        worker.stdout.close()


def test_an_interrupted_parent_takes_the_process_along(
    bundle_path: Path,
    tmp_path: Path,
    played: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played("hang")
    started: list[subprocess.Popen[bytes]] = []
    make = subprocess.Popen

    def noted(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(make(*args, **kwargs))
        return started[-1]

    def interrupt(_: BuildProgress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(KeyboardInterrupt):
        process.run(request_for(bundle_path, tmp_path), interrupt)
    assert started[0].poll() is not None
