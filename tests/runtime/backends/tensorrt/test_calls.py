"""The tables in docs/gpu.md of the calls that the backend makes, against its code."""

from __future__ import annotations

import re

from tests.export.tensorrt.test_api import used
from tests.paths import DOCS, ROOT

CODE = ROOT / "runtime" / "backends" / "tensorrt"

ROW = re.compile(r"^\| `([^`]+)` \|.*\| ([^|]+) \|$", re.MULTILINE)

PLACES = {"host driver", "played", "never"}


def table(title: str) -> dict[str, str]:
    """Where each call was exercised, from the section of that title."""
    text = (DOCS / "gpu.md").read_text()
    section = text.partition(f"### {title}\n")[2].partition("\n##")[0]
    return {name: place.strip() for name, place in ROW.findall(section)}


def test_each_call_says_where_it_was_exercised() -> None:
    for title in ("CUDA driver", "TensorRT"):
        rows = table(title)
        assert len(rows) > 15
        assert set(rows.values()) <= PLACES


def test_the_table_has_every_call_of_tensorrt() -> None:
    names = used((CODE / "cuda.py").read_text())
    calls = {f"{owner}.{name}".removeprefix(".") for owner, name in names}
    assert set(table("TensorRT")) == calls


def test_the_table_has_what_is_called_without_pycuda() -> None:
    """Through cuda-python and the driver's library, by the names that the driver has for them."""
    text = (CODE / "cuda.py").read_text() + (CODE / "context.py").read_text()
    named = set(re.findall(r"driver\.(cu[A-Z]\w+)", text)) | set(
        re.findall(r"\.(cuGraph\w+)", text)
    )
    rows = set(table("CUDA driver"))
    for name in named:
        assert {name, f"{name}_v2", f"{name}WithFlags"} & rows, name
