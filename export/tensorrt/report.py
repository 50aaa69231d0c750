"""What a build came to: as a table for a person, and as plain data for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from export.tensorrt.build import Build
from export.tensorrt.keeping import Result


def build_facts(build: Build, detectors: Mapping[Path, Result]) -> dict[str, Any]:
    """What `build_table` shows and more, as plain data."""
    return {
        "bundle": str(build.bundle.root),
        "precision": build.precision,
        "target": msgspec.to_builtins(build.machine),
        "folder": str(build.folder),
        "unchecked": build.unchecked,
        "engines": {name: _facts(result) for name, result in build.engines.items()},
        "detectors": {str(path): _facts(result) for path, result in detectors.items()},
    }


def _facts(result: Result) -> dict[str, Any]:
    facts = result.engine.facts
    return {
        "form": facts.spec.form,
        "path": str(result.engine.path),
        "built": result.built,
        "layers": msgspec.to_builtins(facts.layers),
        "bytes": facts.bytes,
        "seconds": facts.seconds,
        "cosine": facts.cosine,
        "profile": msgspec.to_builtins(facts.spec.profile),
    }


def build_table(build: Build, detectors: Mapping[Path, Result]) -> Table:
    """A row for each engine: its precision as it was delivered, its size, what it took,
    and how near it comes to its ONNX file.

    Args:
        build: the engines of a bundle.
        detectors: those of detectors beside it, by their ONNX files.
    """
    table = Table("engine", "form", title=f"TensorRT, {build.precision}", title_justify="left")
    for title in ("int8 / fp16 / fp32", "MB", "seconds", "cosine"):
        table.add_column(title, justify="right")
    table.add_column("")
    rows: list[tuple[str, str, Result]] = [
        (name, r.engine.facts.spec.form, r) for name, r in build.engines.items()
    ]
    rows += [(path.name, "", r) for path, r in detectors.items()]
    for name, form, result in rows:
        facts = result.engine.facts
        layers = facts.layers
        table.add_row(
            name,
            form,
            f"{layers.int8} / {layers.fp16} / {layers.fp32}",
            f"{facts.bytes / 1e6:.1f}",
            f"{facts.seconds:.1f}",
            "-" if facts.cosine is None else f"{facts.cosine:.5f}",
            "built" if result.built else "up to date",
        )
    return table


def build_notes(build: Build, detectors: Mapping[Path, Result]) -> Iterator[str]:
    """What a person should know besides."""
    default = build.bundle.manifest.default_precision
    if build.asked == "auto" and build.precision != default:
        yield f"the bundle has its default, {default}, for other hardware only"
    results = [*build.engines.values(), *detectors.values()]
    built = sum(result.built for result in results)
    yield f"{build.folder}: {len(results)} engines, {built} of them built now"
    yield f"for {build.machine.describe()}"
    if build.machine.gpu is None:
        yield (
            "there is no GPU here: this shows that TensorRT's parser and compiler take them, but "
            "no machine can run these engines"
        )
    elif build.unchecked:
        yield f"not compared with their ONNX files: {build.unchecked}"
    else:
        yield "each was run and compared with its ONNX file on the CPU (cosine)"
