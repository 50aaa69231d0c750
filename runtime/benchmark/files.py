"""The file of a report, read again to compare it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.result import FORMAT, SCHEMA, BenchmarkReport


def read_report(path: Path) -> BenchmarkReport:
    """The report in a file.

    Raises:
        BenchmarkError: there is none, or of another schema.
    """
    try:
        document = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise BenchmarkError(
            f"{path}: there is no such report (make one with `denet bench --out`)"
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BenchmarkError(f"{path}: cannot be read as a report: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BenchmarkError(f"{path}: not the report of a benchmark (`denet bench --out`)")
    if document.get("schema") != SCHEMA:
        raise BenchmarkError(
            f"{path}: report schema {document.get('schema')!r}, but this version of denet reads "
            f"schema {SCHEMA}: measure again, or install the denet that wrote it"
        )
    try:
        return msgspec.convert(document, BenchmarkReport, strict=False)
    except msgspec.ValidationError as error:
        raise BenchmarkError(f"{path}: {error}") from None
