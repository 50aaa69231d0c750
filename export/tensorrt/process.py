"""Starts the process that builds an engine, and listens to it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO

import msgspec

from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, Built, Event, Failed

BOOT = "import sys; sys.path[:] = sys.argv[1:]; from export.tensorrt.builder import main; main()"
"""The modules are looked for where this process finds them, not in the current directory."""

KILLED = 9

MEMORY = "; if memory is short, stop other programs, add swap, or bound it by --workspace"


def run(request: BuildRequest, notify: Callable[[BuildProgress], None]) -> Built:
    """Build one engine in a process of its own, and wait for it.

    Args:
        request: what to build.
        notify: told how far it is.

    Raises:
        BuildError: it was not built; says why. What was written is not to be used.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-c", BOOT, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        try:
            last = _listen(process, request, notify)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)
        if isinstance(last, Failed):
            raise BuildError(last.reason + (MEMORY if "memory" in last.reason.lower() else ""))
        if last is None or code != 0:
            raise BuildError(_epitaph(code, complaints))
        return last


def _listen(
    process: subprocess.Popen[bytes], request: BuildRequest, notify: Callable[[BuildProgress], None]
) -> Built | Failed | None:
    """What the process says last; None where it ends before it has said that."""
    assert process.stdin is not None
    assert process.stdout is not None
    decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
    try:
        process.stdin.write(msgspec.json.encode(request) + b"\n")
        process.stdin.flush()
    except OSError:
        return None
    last: Built | Failed | None = None
    for line in process.stdout:
        event = decoder.decode(line)
        if isinstance(event, BuildProgress):
            notify(event)
        else:
            last = event
    return last


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:  # what was not sent to a dead process
        return


def _epitaph(code: int, complaints: IO[bytes]) -> str:
    """Why a process ended that said nothing."""
    if code == -KILLED:
        return f"the process that built it was killed{MEMORY}"
    if code < 0:
        return f"TensorRT crashed (signal {-code}){MEMORY}"
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return f"the process that built it failed: {lines[-1] if lines else f'exit code {code}'}"
