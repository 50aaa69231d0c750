"""What a build came to: as a table for a person, and as plain data for a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.table import Table

from export.tensorrt.build import Build


def build_facts(build: Build) -> dict[str, Any]:
    """What `build_table` shows and more, as plain data."""
    return {
        "bundle": str(build.bundle.root),
        "precision": build.precision,
        "target": msgspec.to_builtins(build.machine),
        "folder": str(build.folder),
        "unchecked": build.unchecked,
        "engines": {
            name: {
                "form": (facts := result.engine.facts).spec.form,
                "path": str(result.engine.path),
                "built": result.built,
                "layers": msgspec.to_builtins(facts.layers),
                "bytes": facts.bytes,
                "seconds": facts.seconds,
                "cosine": facts.cosine,
                "profile": msgspec.to_builtins(facts.spec.profile),
            }
            for name, result in build.engines.items()
        },
    }


def build_table(build: Build) -> Table:
    """A row for each engine: its precision as it was delivered, its size, what it took,
    and how near it comes to its ONNX file."""
    table = Table("engine", "form", title=f"TensorRT, {build.precision}", title_justify="left")
    for title in ("int8 / fp16 / fp32", "MB", "seconds", "cosine"):
        table.add_column(title, justify="right")
    table.add_column("")
    for name, result in build.engines.items():
        facts = result.engine.facts
        layers = facts.layers
        table.add_row(
            name,
            facts.spec.form,
            f"{layers.int8} / {layers.fp16} / {layers.fp32}",
            f"{facts.bytes / 1e6:.1f}",
            f"{facts.seconds:.1f}",
            "-" if facts.cosine is None else f"{facts.cosine:.5f}",
            "built" if result.built else "up to date",
        )
    return table


def build_notes(build: Build) -> Iterator[str]:
    """What a person should know besides."""
    default = build.bundle.manifest.default_precision
    if build.asked == "auto" and build.precision != default:
        yield f"the bundle has its default, {default}, for other hardware only"
    built = sum(result.built for result in build.engines.values())
    yield f"{build.folder}: {len(build.engines)} engines, {built} of them built now"
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
