"""The file of a report, read again to compare it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from denet.reading import read_json, reading
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.result import FORMAT, SCHEMA, BenchmarkReport


def read_report(path: Path) -> BenchmarkReport:
    """The report in a file.

    Raises:
        BenchmarkError: there is none, or of another schema.
    """
    if not path.exists():
        raise BenchmarkError(f"{path}: there is no such report (make one with `denet bench --out`)")
    document = read_json(path, BenchmarkError)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BenchmarkError(f"{path}: not the report of a benchmark (`denet bench --out`)")
    if document.get("schema") != SCHEMA:
        raise BenchmarkError(
            f"{path}: report schema {document.get('schema')!r}, but this version of denet reads "
            f"schema {SCHEMA}: measure again, or install the denet that wrote it"
        )
    with reading(path, BenchmarkError):
        return msgspec.convert(document, BenchmarkReport, strict=False)
