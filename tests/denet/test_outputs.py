"""Whether a file can be written is asked in one way, before the work for it is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.scores import check_scores_file
from denet.errors import DenetError
from denet.outputs import check_output, write_output
from denet.report import check_report
from runtime.embeddings import check_output as check_embeddings


class OutError(DenetError):
    pass


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report.pdf", "a report is written as .html: choose such a name"),
        ("none/report.html", "is in a folder that does not exist"),
        ("folder.html", "is a folder: choose another name"),
        ("there.html", "exists already: choose another name, or replace it with --force"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "there.html").touch()
    path = tmp_path / name
    with pytest.raises(OutError, match=re.escape(f"{path}: {words}")):
        check_output(path, ".html", OutError, replace=False)


def test_what_is_there_may_be_replaced_and_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "there.html"
    path.write_text("old")
    check_output(path, ".html", OutError, replace=True)
    write_output(path, b"new", OutError)
    assert path.read_text() == "new"
    with pytest.raises(OutError, match="cannot be written"):
        write_output(tmp_path / "none" / "a.html", b"", OutError)


@pytest.mark.parametrize(
    ("check", "suffix", "what"),
    [
        (check_embeddings, ".npz", "embeddings are written as .npz"),
        (check_scores_file, ".json", "scores are written as .json"),
        (lambda path: check_report(path, replace=True), ".html", "a report is written as .html"),
    ],
)
def test_every_command_asks_so(
    tmp_path: Path, check: Callable[[Path], None], suffix: str, what: str
) -> None:
    check(tmp_path / f"a{suffix}")
    (tmp_path / f"there{suffix}").touch()
    check(tmp_path / f"there{suffix}")
    with pytest.raises(DenetError, match=what):
        check(tmp_path / "a.txt")
    with pytest.raises(DenetError, match="does not exist"):
        check(tmp_path / "none" / f"a{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(DenetError, match="is a folder"):
        check(tmp_path / f"folder{suffix}")
