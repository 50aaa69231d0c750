"""Fresh processes that are measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Bundle
from runtime.benchmark import start, stats
from runtime.benchmark.child import Asked, Told
from runtime.benchmark.errors import BenchmarkError
from tests.paths import ROOT
from tests.runtime.benchmark.shared import RGB, TIR

STATES = RGB_NIR_TIR.states


def test_a_fresh_process_tells_what_a_start_takes(bundle: Bundle) -> None:
    asked = Asked(
        bundle=str(bundle.root), backend="ort-cpu", precision="fp32", threads=2, states=(), batch=1
    )
    found = start.start_costs(asked, RGB_NIR_TIR, 1, 1, states=[RGB])
    assert list(found) == ["rgb", "all"]
    assert (found["rgb"].engines, found["all"].engines) == (5, 15)
    assert found["rgb"].first.median == pytest.approx(
        found["rgb"].load.median + found["rgb"].embed.median
    )
    assert min(found["rgb"].imports.median, found["rgb"].load.median) > 0
    if sys.platform == "linux":
        memory = found["rgb"].host_bytes
        assert memory is not None
        assert 2e7 < memory.median < 2e9
    assert found["rgb"].device_bytes is None


def test_starts_of_one_kind_take_turns_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[tuple[str, ...], int]] = []

    def run(asked: Asked) -> Told:
        ran.append((asked.states, asked.batch))
        return Told(imports=1, load=2, embed=len(ran), host_bytes=None, device_bytes=7)

    monkeypatch.setattr(start, "_run", run)
    asked = Asked(bundle="b", backend="", precision="", threads=None, states=(), batch=1)
    found = start.start_costs(asked, RGB_NIR_TIR, 16, 2, states=[RGB, TIR])
    every = tuple(s.name for s in STATES)
    assert ran == [(("rgb",), 1), (("tir",), 1), (every, 1), (every, 16)] * 2
    assert found["rgb"].embed == stats.Repeated(median=3e3, low=1e3, high=5e3)
    assert found["rgb"].host_bytes is None
    assert found["all, batch 16"].device_bytes == stats.Repeated(median=7, low=7, high=7)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    asked = Asked(
        bundle=str(tmp_path), backend="auto", precision="auto", threads=1, states=("rgb",), batch=1
    )
    with pytest.raises(BenchmarkError, match=r"fresh process could not embed .*not a bundle"):
        start._run(asked)


def test_what_lies_in_the_users_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runtime", "denet", "numpy", "msgspec"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('of the user')")
    monkeypatch.setattr(sys, "path", [str(ROOT), *(p for p in sys.path if p)])
    monkeypatch.chdir(tmp_path)
    asked = Asked(
        bundle="absent", backend="auto", precision="auto", threads=1, states=("rgb",), batch=1
    )
    with pytest.raises(BenchmarkError, match="absent"):
        start._run(asked)


def test_a_fresh_process_imports_no_more_than_a_node() -> None:
    code = (
        "import sys, runtime.benchmark.child\n"
        "print({'torch', 'onnx', 'matplotlib', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
