"""A report as it stands in its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.benchmark import result
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.files import read_report
from runtime.benchmark.result import encode, schema
from runtime.benchmark.stats import Timing
from tests.paths import ROOT
from tests.runtime.benchmark.reports import a_report, written


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = a_report()
    assert read_report(written(tmp_path, "a.json", report)) == report


def test_the_schema_in_the_documentation_is_that_of_the_report() -> None:
    path = ROOT / "docs" / "benchmark.schema.json"
    assert path.read_bytes() == schema(), (
        "write it anew: python -c 'from runtime.benchmark.result import schema; "
        'print(schema().decode(), end="")\' > docs/benchmark.schema.json'
    )


def test_every_field_of_a_report_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "benchmark.md").read_text()
    for name in json.loads(schema())["$defs"]:
        for field in getattr(result, name, Timing).__struct_fields__:
            assert f"`{field}`" in text, f"{name}.{field}"


def test_every_field_of_a_report_is_in_the_schema() -> None:
    document = json.loads(schema())
    kinds = document["$defs"]

    def check(value: Any, kind: dict[str, Any]) -> None:
        if "$ref" in kind:
            kind = kinds[kind["$ref"].rpartition("/")[2]]
        if options := kind.get("anyOf"):
            kind = next(o for o in options if (o.get("type") == "null") == (value is None))
            return check(value, kind)
        if kind.get("type") == "object":
            known = kind.get("properties", {})
            for name, part in value.items():
                more = kind.get("additionalProperties")
                assert name in known or more is not False, name
                check(part, known.get(name, more if isinstance(more, dict) else {}))
        elif kind.get("type") == "array" and isinstance(kind.get("items"), dict):
            for part in value:
                check(part, kind["items"])
        return None

    check(json.loads(encode(a_report())), document)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "damaged"),
        (b"[1]", "not the report of a benchmark"),
        (b'{"format": "denet-benchmark", "schema": 2}', "report schema 2"),
        (b'{"format": "denet-benchmark", "schema": 1}', ": is missing"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=words) as error:
        read_report(path)
    assert str(path) in str(error.value)
    with pytest.raises(BenchmarkError, match="there is no such report"):
        read_report(tmp_path / "none.json")


def test_a_report_of_a_newer_minor_field_is_refused_by_name(tmp_path: Path) -> None:
    document = json.loads(encode(a_report()))
    document["settings"]["colour"] = "red"
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BenchmarkError, match="colour"):
        read_report(path)
