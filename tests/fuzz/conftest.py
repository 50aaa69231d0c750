"""What fuzzing starts from, made once for a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import made_once
from tests.fuzz.stock import make_stock


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the stock is."""
    return made_once(tmp_path_factory, "fuzz", make_stock)
