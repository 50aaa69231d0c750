"""A played server of the bundle that all tests have, and another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import Runtime
from runtime.serve.address import ServerAddress
from tests.runtime.node.parts import another

if TYPE_CHECKING:
    from tests.runtime.serve.played import Played


@pytest.fixture
def played(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    pytest.importorskip("grpc", reason="needs grpcio: pip install '.[remote]'")
    from tests.runtime.serve.played import playing

    monkeypatch.setattr(ServerAddress, "timeout", 60.0)  # a machine under load takes its time
    with playing(runtime) as server:
        yield server


@pytest.fixture
def other_model(bundle_path: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A bundle of another checkpoint."""
    path = another(bundle_path, tmp_path / "other.denet", checkpoint_sha256="0" * 64)
    with Runtime.load(path, "ort-cpu") as other:
        yield other
