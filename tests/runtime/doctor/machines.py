"""Machines to look at: what is installed there, and what a diagnosis shows of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from runtime.doctor import Diagnosis, describe_diagnosis
from runtime.doctor.software import PROVIDERS, Package, Software
from runtime.machine.gpu import Gpu

ORIN = Gpu("Orin", (8, 7), 8, True)


CPU_ONLY = Software(
    onnxruntime=Package(version="1.31.1"),
    providers={"CPUExecutionProvider": None},
    tensorrt=Package(reason="not installed"),
    tensorrt_backend=None,
    pycuda=Package(reason="not installed"),
    cuda_python=Package(reason="not installed"),
)


ALL = Software(
    onnxruntime=Package(version="1.31.1"),
    providers=dict.fromkeys(PROVIDERS.values()),
    tensorrt=Package(version="10.3.0"),
    tensorrt_backend="TensorRT 10.3.0",
    pycuda=Package(version="2026.1"),
    cuda_python=Package(version="13.5.0"),
)


def changed(found: Software, **changes: Any) -> Software:
    return msgspec.structs.replace(found, **changes)


def empty(root: Path) -> Path:
    return root


def shown(found: Diagnosis) -> str:
    """As an 80-column terminal has it."""
    text = io.StringIO()
    Console(file=text, width=80).print(describe_diagnosis(found), crop=False)
    return text.getvalue()
