"""A diagnosis for a person to read, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runtime.doctor.diagnosis import BundleReport, Diagnosis
from runtime.doctor.software import ABSENT, Package, Software


def describe_diagnosis(found: Diagnosis) -> Group:
    """The machine, what is installed, what can run, the bundle, and what to do for more.

    Commands are to be copied: print it with `crop=False`, which leaves them in one line.
    """
    threads = found.machine.cpu.default_threads
    machine = [
        *found.machine.rows(),
        ("CPU threads", f"{threads or 'one for each core'}, if none are asked for"),
        ("INT8 on the CPU", found.no_int8 or ", ".join(found.int8)),
    ]
    parts: list[RenderableType] = [
        Text("Machine", "bold"),
        _rows(machine),
        Text("\nInstalled", "bold"),
        _rows(_installed(found.python, found.software)),
        Text("\nBackends", "bold"),
        _rows((name, _able(why)) for name, why in found.backends.items()),
        Text(f'  "auto" takes the first that it can: {", ".join(found.order)}.'),
    ]
    if "tensorrt" in found.order:
        parts.append(Text("  It takes tensorrt where engines are built for this machine."))
    if found.bundle is not None:
        parts.append(Text(f"\n{found.bundle.path}", "bold"))
        parts.append(_rows(_bundle(found.bundle, found.backends)))
    if found.advice:
        parts.append(Text("\nFor more", "bold"))
    for advice in found.advice:
        parts.append(Padding(Text(advice.what), (0, 0, 0, 2)))
        for command in advice.commands:
            parts.append(Text(f"      {command}", "cyan", no_wrap=True, overflow="ignore"))
    return Group(*parts)


def _installed(python: str, software: Software) -> Iterator[tuple[str, str]]:
    yield "Python", python
    yield "ONNX Runtime", _package(software.onnxruntime)
    if software.providers:
        yield "  providers", ", ".join(software.providers)
    yield "TensorRT", _package(software.tensorrt)
    if (behind := software.tensorrt_backend) != f"TensorRT {software.tensorrt.version}" and behind:
        yield "", behind
    yield "PyCUDA", _package(software.pycuda)
    yield "cuda-python", _package(software.cuda_python)


def _package(package: Package) -> str:
    if package.version is not None:
        return package.version
    return ABSENT if package.reason == ABSENT else f"broken: {package.reason}"


def _bundle(
    bundle: BundleReport, backends: dict[str, str | None]
) -> Iterator[tuple[str, str | Text]]:
    for name, why in bundle.precisions.items():
        yield name, _able(why)
    for name, engines in bundle.engines.items():
        yield f"engines {name}", f"{engines.ready} of {engines.of} are built for this machine"
        for why, count in engines.missing.items():
            yield "", f"{count}: {why}"
    if (chosen := bundle.chosen) is not None:
        yield "would run in", Text(f"{chosen.backend}, {chosen.variant}: {chosen.reason}", "bold")
        if (reason := backends.get(chosen.backend)) is not None:
            yield "", Text(f"but {chosen.backend} cannot run here: {reason}", "bold red")


def _rows(rows: Iterable[tuple[str, str | Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=17)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(f"  {name}"), Text(value) if isinstance(value, str) else value)
    return table


def _able(why: str | None) -> Text:
    return Text("can run", "green") if why is None else Text(f"cannot run: {why}")
