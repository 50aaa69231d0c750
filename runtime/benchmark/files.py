"""The files of a report: reading one, and writing it and its page."""

from __future__ import annotations

from pathlib import Path

import msgspec

from denet.files import written_whole
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.result import FORMAT, SCHEMA, Report


def read_report(path: Path) -> Report:
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
        return msgspec.convert(document, Report, strict=False)
    except msgspec.ValidationError as error:
        raise BenchmarkError(f"{path}: {error}") from None


def check_output(path: Path, suffix: str, *, replace: bool) -> None:
    """See that a file can be written to `path`, before the work for it is done.

    Raises:
        BenchmarkError: it cannot, or is there and `replace` is false.
    """
    if path.suffix != suffix:
        raise BenchmarkError(f"{path}: is written as {suffix}: choose such a name")
    if not path.absolute().parent.is_dir():
        raise BenchmarkError(f"{path}: is in a folder that does not exist")
    if path.is_dir():
        raise BenchmarkError(f"{path}: is a folder: choose another name")
    if path.exists() and not replace:
        raise BenchmarkError(
            f"{path}: exists already: choose another name, or replace it with --force"
        )


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        BenchmarkError: it cannot be written.
    """
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be written: {error.strerror or error}") from None
