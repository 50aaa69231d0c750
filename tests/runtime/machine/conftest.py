"""No test asks the GPU of the machine that runs it."""

from __future__ import annotations

import pytest

from tests.runtime.machine.machines import become


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, None)
