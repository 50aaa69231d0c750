"""The page of a calibration."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import calibration.page
from calibration.errors import CalibrationError
from calibration.facts import delivered, reasons, shown_forms
from calibration.outcome import Outcome
from calibration.page import CAPTIONS, asked, check_report, report_html, write_report
from calibration.tables import engine_table
from denet.marks import PAGE
from tests.calibration.outcomes import STATES, shown


class Reader(HTMLParser):
    """Sees that tags are closed in order, and keeps the text and what is pointed to."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def test_the_page(played: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(played, path, replace=False)
    assert list(tmp_path.iterdir()) == [path]
    page = path.read_text(encoding="utf-8")
    reader = read(page)
    text = reader.text
    for state in STATES:
        assert state.name in text
    for reason in (*reasons(played, "vnni").values(), *played.notes):
        assert reason in text
    assert asked(played) in text
    assert "at most 0.34 points of mAP, in rgb+nir+tir" in text
    assert "In rgb+nir+tir the loss is inside the budget, but its interval reaches beyond" in text
    assert "Beside devices in FP32 at most 0.44 points are lost, in rgb+nir+tir." in text
    assert "3 in fp32 and 12 in int8-vnni" in text
    assert "6.0 MB" in text
    assert "-0.34 (-0.54, -0.24)" in text
    for plot in ("changes", "sensitivity", "times", "fleet"):
        assert html.escape(CAPTIONS[plot]) in page.replace("&#39;", "&#x27;")
    assert len(reader.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    # Names are shown as they are, and do nothing.
    assert "/models/<b>demo</b>.denet" in text
    assert "<b>demo" not in page
    assert "<judge>" not in page
    assert "beyond <65504>" in text


def test_the_page_without_labels_and_times(unlabelled: Outcome) -> None:
    reader = read(report_html(replace(unlabelled, times={}, notes=())))
    assert len(reader.sources) == 2
    assert "mAP" not in reader.text
    assert "the mean cosine to FP32 may fall below 0.99 in no missing state" in reader.text
    assert "at most 0.00130 of the mean cosine, in rgb+nir+tir" in reader.text
    assert "not measured on this machine" in reader.text
    for state in STATES:
        assert state.name in reader.text


def test_a_precision_by_name_is_what_is_delivered(played: Outcome) -> None:
    assert delivered(played) == ["mixed-vnni"]
    named = replace(
        played, request=replace(played.request, precision="int8"), selections={}, budget=1.0
    )
    assert delivered(named) == ["int8-vnni"]
    assert asked(named).startswith("Asked for: all engines in INT8 for CPUs with VNNI; ")
    assert shown_forms(named) == ["fp32", "int8-vnni"]
    assert "✓" not in shown(engine_table(named))


def test_a_report_that_cannot_be_written_is_refused(played: Outcome, tmp_path: Path) -> None:
    there = tmp_path / "there.html"
    there.write_text("old")
    (tmp_path / "folder.html").mkdir()
    for path, words in (
        (there, "exists already: choose another name, or replace it with --force"),
        (tmp_path / "report.pdf", ".html"),
        (tmp_path / "none" / "report.html", "folder that does not exist"),
        (tmp_path / "folder.html", "is a folder"),
    ):
        with pytest.raises(CalibrationError, match=re.escape(words)) as error:
            check_report(path, replace=False)
        assert str(path) in str(error.value)
    with pytest.raises(CalibrationError, match="exists already"):
        write_report(played, there, replace=False)
    with pytest.raises(CalibrationError, match="is not a report of denet"):
        check_report(there, replace=True)
    assert there.read_text() == "old"
    there.write_bytes(PAGE)
    check_report(there, replace=True)


def test_a_report_replaces_another_whole_or_not_at_all(
    played: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(PAGE + b"old")
    new = PAGE.decode() + "new"
    monkeypatch.setattr(calibration.page, "report_html", lambda _: new)
    write_report(played, path, replace=True)
    assert path.read_text() == new

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CalibrationError, match="cannot be written: No space left"):
        write_report(played, path, replace=True)
    assert path.read_text() == new
    assert list(tmp_path.iterdir()) == [path]


def test_reports_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import calibration.page"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
