"""A bundle to damage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy to damage. Its files are links: replace one by `put`, never write into it."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.denet", copy_function=os.link))
