"""A runtime that is new, a bundle to change, a played server of one, another model, and a real
PostgreSQL where one can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import Bundle, Runtime

if TYPE_CHECKING:  # it needs psycopg, without which other tests of this folder run
    from tests.runtime.postgres.server import Server
    from tests.runtime.serve.played import Played

_SCHEMAS = count()


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy whose files may be replaced, but not written into: they are links."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.denet", copy_function=os.link))


@pytest.fixture
def fresh(bundle: Bundle) -> Runtime:
    """A runtime that has loaded nothing yet."""
    return Runtime.load(bundle, "ort-cpu")


@pytest.fixture
def played(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """A played server of the bundle that all tests have."""
    pytest.importorskip("grpc", reason="needs grpcio: pip install '.[remote]'")
    from runtime.serve.address import ServerAddress
    from tests.runtime.serve.played import playing

    monkeypatch.setattr(ServerAddress, "timeout", 60.0)  # a machine under load takes its time
    with playing(runtime) as server:
        yield server


@pytest.fixture
def other_model(bundle_path: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A bundle of another checkpoint."""
    from tests.runtime.node.parts import another

    path = another(bundle_path, tmp_path / "other.denet", checkpoint_sha256="0" * 64)
    with Runtime.load(path, "ort-cpu") as other:
        yield other


@pytest.fixture(scope="session")
def postgres_programs() -> Iterator[Path]:
    """Where PostgreSQL's programs are."""
    pytest.importorskip("psycopg")
    from tests.runtime.postgres.server import own_folder, programs

    folder = own_folder("pg")
    yield programs(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(postgres_programs: Path) -> Iterator[Server]:
    """A server that tests share: each takes schemas of its own."""
    from runtime.gallery.postgres import following
    from tests.runtime.postgres.server import FAST, PASSWORD, Server

    server = Server(postgres_programs, *FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENET_TEST_PASSWORD", PASSWORD)
        patch.setattr(following, "ANSWER", 30.0)  # other tests run on the same cores
        server.start()
        yield server
    server.close()


@pytest.fixture
def own(postgres_programs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server to be killed: it syncs what it has acknowledged."""
    from tests.runtime.postgres.server import FAST, PASSWORD, Server

    monkeypatch.setenv("DENET_TEST_PASSWORD", PASSWORD)
    server = Server(postgres_programs, *(setting for setting in FAST if "fsync" not in setting))
    server.start()
    yield server
    server.close()


@pytest.fixture
def new_schema() -> Callable[[], str]:
    return lambda: f"test_{next(_SCHEMAS)}"


@pytest.fixture(scope="session")
def guarded_postgres(postgres_programs: Path) -> Iterator[tuple[Server, Path]]:
    """A server with TLS, whose certificate is of `localhost`; and the folder of its authority."""
    from tests.runtime.postgres.server import Server

    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    server = Server(postgres_programs, "fsync=off", "ssl=on")
    folder = server.folder

    def make(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        make(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
            "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
    make("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "data/server.key", "-out", "s.csr",
         "-subj", "/CN=localhost")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    make("x509", "-req", "-in", "s.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
         "-extfile", "names", "-out", "data/server.crt")  # fmt: skip
    (server.data / "server.key").chmod(0o600)
    server.own()
    server.start()
    yield server, folder
    server.close()
