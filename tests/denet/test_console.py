"""What commands print: errors in one line, what to install, and how far things are."""

from __future__ import annotations

import errno
import io
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from denet import console
from denet.console import (
    PlainConsole,
    out,
    printable,
    progress,
    reported,
    say,
    say_aside,
    say_error,
    status,
)
from denet.errors import DenetError
from denet.packages import EXTRAS
from denet.progress import counted, stepwise
from tests.paths import ROOT


def told(capsys: pytest.CaptureFixture[str], command: Any) -> str:
    """The one line on standard error of a command that ends with exit code 2."""
    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_the_packages_of_an_extra_are_those_of_the_distribution() -> None:
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    extras = project["optional-dependencies"]
    imported = {"scikit-learn": "sklearn"}
    for extra, packages in EXTRAS.items():
        assert extras[extra][0] == "denet-edge[report]"
        wanted = [w.partition(">=")[0] for w in (*extras[extra][1:], *extras["report"])]
        assert packages == {imported.get(name, name.replace("-", "_")) for name in wanted}


def test_an_error_of_the_user_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @reported()
    def command() -> None:
        raise DenetError("a/[b]/c.toml: is no [table]")

    assert told(capsys, command) == "error: a/[b]/c.toml: is no [table]"


@pytest.mark.parametrize("extra", ["train", "calibrate"])
def test_a_package_of_the_extra_that_is_absent(
    extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    @reported(extra=extra)
    def command() -> None:
        import onnx  # noqa: F401

    line = told(capsys, command)
    assert line.startswith("error: this command needs onnx")
    assert line.endswith(f"pip install '.[{extra}]'")


def test_a_package_that_the_command_does_not_need_is_no_mistake_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    def command() -> None:
        import torch  # noqa: F401

    for extra in (None, "calibrate"):
        with pytest.raises(ModuleNotFoundError):
            # As a module of this program would be.
            reported(extra=extra)(eval_in("denet.anything", command))()


def eval_in(module: str, command: Any) -> Any:
    """The same function, as if `module` had it."""
    return type(command)(command.__code__, command.__globals__ | {"__name__": module})


def test_a_part_that_an_installed_package_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    @reported(extra="train")
    def command() -> None:
        import numpy.no_such_part  # noqa: F401

    line = told(capsys, command)
    assert line.startswith("error: the package numpy is broken: it has no numpy.no_such_part")


def test_what_an_installed_package_needs_is_absent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import not_there_at_all.part\n")
    monkeypatch.syspath_prepend(tmp_path)

    @reported(extra="train")
    def command() -> None:
        import half_there  # noqa: F401

    line = told(capsys, command)
    assert line.startswith("error: the package half_there is broken: it needs not_there_at_all")


@pytest.mark.parametrize("name", ["denet.no_such_module", "runtime.no_such_module"])
def test_a_module_of_this_program_that_is_missing_is_a_mistake_in_it(name: str) -> None:
    @reported(extra="train")
    def command() -> None:
        __import__(name)

    with pytest.raises(ModuleNotFoundError):
        command()


def test_a_line_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    line = "[bold]/a/path[/bold] " + "long " * 60
    say(line)
    assert capsys.readouterr().out.splitlines() == [line]


def test_progress_is_told_of_the_whole() -> None:
    heard: list[tuple[str, float, int]] = []

    def notify(what: str, done: float, total: int) -> None:
        heard.append((what, done, total))

    more = counted(notify, "reading", 5)
    more(2)
    more(3)
    step = stepwise(notify, 2)
    step("first")
    step("second")
    assert heard == [("reading", 2, 5), ("reading", 5, 5), ("first", 1, 2), ("second", 2, 2)]


def test_a_progress_bar_leaves_nothing_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("drawing", 3) as notify:
        notify("drawing", 1, 3)
        notify("drawn", 3, 3)
    with progress("training", shown=False) as notify:
        notify("training", 0, 0)
    assert capsys.readouterr().out == ""


def test_a_narrow_terminal_cuts_what_is_done_and_not_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    terminal = PlainConsole(file=shown, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(console, "err", terminal)
    what = "epoch 3/21  120 images/s  loss 3.210  identity 2.100  triplet 0.300  branch 3.000"
    with progress("training") as notify:
        for done in range(420, 440):
            notify(what, done, 2100)
    lines = [line for line in re.split("[\r\n]", shown.getvalue()) if "/2100" in line]
    assert lines
    for line in lines:
        plain = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", line)
        assert len(plain) <= 80
        assert plain.startswith("epoch 3/21  120 images/s  loss 3.210")
    assert re.search(r"439/2100 (\d:\d\d:\d\d|-:--:--)", lines[-1])


NAMES = ["x[/b]", "[night]", "[red]a[/red]", ":smile:", "\x1b[2J", "a\x7fb", "\udcff", "\u202egnp"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_and_does_nothing(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    say(name)
    say_aside(name)
    say_error(name)
    out.print(table)
    out.print(Text(name))
    with status(name):
        pass
    with progress(name, 1) as more:
        more(name, 1, 1)
    told = capsys.readouterr()
    shown = printable(name)
    assert told.out.count(shown) == 6
    assert told.err.count(shown) >= 2
    assert shown.isprintable()
    if name.isprintable():
        assert shown == name
    assert not any(each in told.out + told.err for each in "\x1b\r\udcff\u202e")


@given(st.text())
def test_what_is_printable_stays(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not any(
        unicodedata.category(each) in ("Cc", "Cs") for each in shown if each not in "\n\t"
    )
    if text.isprintable():
        assert shown == text


def test_an_error_of_any_size_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("first\n" + "x\n" * 270_000 + "what to do")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert len(line) < 2100
    assert line.startswith("error: first")
    assert line.rstrip().endswith("what to do")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "some/file"), "some/file: File name"),
        (PermissionError(errno.EACCES, "Permission denied", b"some/file"), "Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (ConnectionResetError(), "ConnectionResetError"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"), "not UTF-8"),
        (UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "invalid start byte"), "not UTF-8"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested"),
    ],
)
def test_what_the_outside_does_is_one_line(
    capsys: pytest.CaptureFixture[str], fault: Exception, words: str
) -> None:
    @reported()
    def command() -> None:
        raise fault

    assert words in told(capsys, command)


def test_a_path_with_nul_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @reported()
    def command() -> None:
        Path("a\0b").read_bytes()

    assert "NUL" in told(capsys, command)


@pytest.mark.parametrize("fault", [ValueError("x"), KeyError("x"), TypeError(), RuntimeError("x")])
def test_a_defect_of_the_program_stays_one(fault: Exception) -> None:
    @reported()
    def command() -> None:
        raise fault

    with pytest.raises(type(fault)):
        command()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -(1 << 63) - 1, 1 << 63])
def test_a_number_that_nothing_can_hold(capsys: pytest.CaptureFixture[str], number: float) -> None:
    @reported()
    def command(most_of_all: float) -> None:
        raise AssertionError

    assert "--most-of-all" in told(capsys, lambda: command(most_of_all=number))
