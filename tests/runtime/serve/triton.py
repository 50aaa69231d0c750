"""A real Triton server: that of nvidia-pytriton, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.paths import ROOT

VENV = Path(os.environ.get("DENET_TRITON", ROOT / ".triton"))
"""The environment, with what a node needs beside nvidia-pytriton: .ci/run makes it."""

STARTING = 120.0
"""Seconds."""


def why_absent() -> str:
    """Why there is no server to be had; "" if there is one."""
    if not (VENV / "bin" / "python").exists():
        return f"needs nvidia-pytriton in {VENV.name}/, which .ci/run makes (or DENET_TRITON)"
    return "" if package() is not None else f"{VENV} has no nvidia-pytriton"


def package() -> Path | None:
    """Where nvidia-pytriton is."""
    return next(iter(VENV.glob("lib/python3*/site-packages/pytriton")), None)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class Triton:
    """A server of a repository, on ports of its own on loopback.

    Args:
        repository: of models.
        folder: to work in.
        model: that is loaded at the start.
        options: more of the server.
    """

    def __init__(self, repository: Path, folder: Path, model: str = "denet", *options: str) -> None:
        self.http, self.grpc = free_port(), free_port()
        found = package()
        assert found is not None
        self._log = folder / "triton.log"
        version = next(part for part in found.parts if part.startswith("python3")).removeprefix(
            "python"
        )
        server = found / "tritonserver"
        # Library, stub and utilities have to lie in one folder.
        backend = folder / "backends" / "python"
        shutil.copytree(server / "backends" / "python", backend)
        shutil.copytree(server / "python_backend_stubs" / version, backend, dirs_exist_ok=True)
        # It runs the first Python of PATH, which sees the checkout by a file of its own.
        paths = found.parent / "denet-checkout.pth"
        if not paths.exists() or paths.read_text() != str(ROOT):
            paths.write_text(str(ROOT))
        real = (VENV / "bin" / "python").resolve()
        libraries = [found.parent / "nvidia_pytriton.libs", real.parents[1] / "lib"]
        environment = os.environ | {
            "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        }
        environment.pop("PYTHONPATH", None)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    server / "bin" / "tritonserver",
                    f"--model-repository={repository}",
                    f"--backend-directory={backend.parent}",
                    f"--cache-directory={server / 'caches'}",
                    "--model-control-mode=explicit",
                    f"--load-model={model}",
                    "--http-address=127.0.0.1",
                    f"--http-port={self.http}",
                    "--grpc-address=127.0.0.1",
                    f"--grpc-port={self.grpc}",
                    "--allow-metrics=false",
                    "--exit-timeout-secs=3",
                    *options,
                ],
                stdout=log,
                stderr=log,
                env=environment,
            )

    @property
    def address(self) -> str:
        return f"grpc://127.0.0.1:{self.grpc}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ready(self) -> bool:
        """As the server says of itself."""
        return self._post("v2/health/ready", None) == (200, "")

    def wait(self) -> None:
        """Until it is ready.

        Raises:
            RuntimeError: it has ended, or takes too long.
        """
        end = time.monotonic() + STARTING
        while time.monotonic() < end and self.process.poll() is None:
            if self.ready():
                return
            time.sleep(0.1)
        raise RuntimeError(self.log[-3000:])

    def load(self, model: str = "denet") -> tuple[int, str]:
        """Load what is in the repository now: status, and what it says."""
        return self._post(f"v2/repository/models/{model}/load", b"{}")

    def unload(self, model: str = "denet") -> tuple[int, str]:
        return self._post(f"v2/repository/models/{model}/unload", b"{}")

    def batches(self, model: str = "denet") -> tuple[int, int]:
        """How many samples it has embedded, and in how many batches."""
        status, text = self._post(f"v2/models/{model}/stats", None)
        assert status == 200, text
        (found,) = json.loads(text)["model_stats"]
        return int(found["inference_count"]), int(found["execution_count"])

    def busy(self) -> float:
        """Seconds of CPU time that it and the processes that embed have used."""
        ticks = 0
        for process in (self.process.pid, *self.stubs()):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stub(self) -> int:
        """The process that embeds, or one of them."""
        found = self.stubs()
        assert found, "there is no process that embeds"
        return found[0]

    def stubs(self) -> list[int]:
        """The processes that embed."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [child for task in tasks for child in task.read_text().split()]
        return [int(c) for c in children if "stub" in Path(f"/proc/{c}/cmdline").read_text()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                for process in self.stubs():
                    os.kill(process, signal.SIGKILL)
                self.process.kill()
                self.process.wait(20)

    def __enter__(self) -> Triton:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, body: bytes | None) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/{path}", data=body)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            content = error.read().decode()
            try:
                return error.code, str(json.loads(content)["error"])
            except ValueError:
                return error.code, content
        except OSError as error:
            return 0, str(error)
