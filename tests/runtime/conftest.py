"""A runtime that is new, a bundle to change, and a real PostgreSQL where one can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import Bundle, Runtime

if TYPE_CHECKING:  # it needs psycopg, without which other tests of this folder run
    from tests.runtime.postgres.server import Server

_SCHEMAS = count()


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy whose files may be replaced, but not written into: they are links."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.denet", copy_function=os.link))


@pytest.fixture
def fresh(bundle: Bundle) -> Runtime:
    """A runtime that has loaded nothing yet."""
    return Runtime.load(bundle, "ort-cpu")


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
def new_schema() -> Callable[[], str]:
    return lambda: f"test_{next(_SCHEMAS)}"
