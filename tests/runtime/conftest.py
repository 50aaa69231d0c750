"""A runtime that is new, and a bundle to change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runtime import Bundle, Runtime


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy whose files may be replaced, but not written into: they are links."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.denet", copy_function=os.link))


@pytest.fixture
def fresh(bundle: Bundle) -> Runtime:
    """A runtime that has loaded nothing yet."""
    return Runtime.load(bundle, "ort-cpu")
