"""No damaged file is a traceback, hangs, or gives another answer in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.readers import READERS
from tests.fuzz.running import ChangeError, Reader, fuzz, in_file


@pytest.mark.parametrize("name", READERS)
def test_a_few_damaged_files(name: str, stock: Path, tmp_path: Path) -> None:
    tally = fuzz(READERS[name](stock, tmp_path), 40)
    assert tally.cases >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files(name: str, stock: Path, tmp_path: Path) -> None:
    tally = fuzz(READERS[name](stock, tmp_path), 200, number=1)
    assert tally.cases >= 200
    assert tally.refused > 0


def test_a_reader_that_trusts_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "number"
    whole = b'{"number": 12345}'
    use = lambda: path.read_bytes().lower()  # noqa: E731
    trusting = Reader("trusting", (whole,), in_file(path), use, lambda found: found == whole)
    with pytest.raises(ChangeError):
        fuzz(trusting, 40)


def test_a_reader_that_stumbles_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "number"
    use = lambda: int(path.read_bytes())  # noqa: E731
    with pytest.raises(ValueError, match="int"):
        fuzz(Reader("stumbling", (b"12345",), in_file(path), use, None), 40)
