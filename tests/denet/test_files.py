"""What is in a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from denet.files import file_digest


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 19) + 7])
def test_the_digest_is_that_of_the_whole_content(tmp_path: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()
