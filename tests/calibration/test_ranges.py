"""Tables of ranges that somebody else may have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from calibration.errors import CalibrationError
from calibration.ranges import Ranges
from calibration.request import CalibrationRequest
from calibration.table import RangeTable, obtain_table, preprocessing_digest, weights_digest
from runtime import Bundle
from runtime.seal import sealed


@pytest.mark.parametrize(
    "text",
    [
        '{"minmax": [1, -1]}',
        '{"minmax": [0, 1e39]}',
        '{"minmax": [0, 1], "percentile": [0.5, 0.4]}',
        '{"minmax": [0, 1], "entropy": [-1e39, 0]}',
        '{"minmax": [0, 1e999]}',
        '{"minmax": [0]}',
        '{"minmax": [0, null]}',
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=Ranges)


def set_range(document: dict[str, Any]) -> None:
    document["engines"]["branch_rgb"]["x"]["minmax"] = [2, 1]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (set_range, "goes from 2.0 to 1.0"),
        (lambda d: d.update(samples=-1), "samples"),
        (lambda d: d.update(weights="x"), "weights"),
        (lambda d: d["engines"].update(branch_uv={}), "unknown engine branch_uv"),
        (lambda d: d.update(engines=[]), "engines"),
    ],
)
def test_a_table_without_meaning_is_one_line(
    bundle: Bundle, tmp_path: Path, edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    table = RangeTable(
        weights=weights_digest(bundle.manifest),
        preprocessing=preprocessing_digest(bundle.manifest),
        data="x",
        source="x",
        samples=1,
        seed=0,
        engines={"branch_rgb": {"x": Ranges(minmax=(0, 1))}},
    )
    path = tmp_path / "table.json"
    document = json.loads(table.encode())
    del document["digest"]
    edit(document)
    path.write_bytes(sealed(document))
    request = CalibrationRequest(data=tmp_path, table=path)
    with pytest.raises(CalibrationError) as refusal:
        obtain_table(bundle, request, None, [], lambda _: None)  # type: ignore[arg-type]
    assert str(refusal.value).startswith(f"{path}: ")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
