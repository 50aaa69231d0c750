"""What the tests of TensorRT's engines have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import onnx

from denet.graph import RGB_NIR_TIR
from export.tensorrt import build as tensorrt
from export.tensorrt.build import Build, build_engines
from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, Built
from runtime import Bundle
from runtime.backends.tensorrt.files import (
    Layers,
    engine_path,
)
from runtime.backends.tensorrt.machine import (
    BuildMachine,
    BuildOptions,
)
from runtime.bundle.forms import Form, Precision
from tests.runtime.backends.tensorrt.machines import HERE
from tests.runtime.bundle.damage import edit_manifest

ENGINES = RGB_NIR_TIR.engines

FORMS: tuple[Form, ...] = ("fp32", "fp16", "int8-trt")

PRECISION: dict[Form, Precision] = {"fp32": "fp32", "fp16": "fp16", "int8-trt": "int8"}

EDGE, CMFT, BRANCH = "dem_rgb2nir", "cmft_rgb2nir", "branch_rgb"


def target(**changes: Any) -> BuildMachine:
    return msgspec.structs.replace(HERE, **changes)


DESKTOP = target(
    gpu="NVIDIA GeForce RTX 4090",
    compute_capability=(8, 9),
    multiprocessors=128,
    integrated=False,
    platform="linux-x86_64",
)

A100 = msgspec.structs.replace(
    DESKTOP, gpu="NVIDIA A100", compute_capability=(8, 0), multiprocessors=108
)

NO_GPU = target(gpu=None, compute_capability=None, multiprocessors=None, integrated=False)

MODULE = SimpleNamespace(
    BuilderFlag=SimpleNamespace(VERSION_COMPATIBLE=13),
    HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS=1),
)
"""As much of the module `tensorrt` as `check_machine` asks."""


class Builder:
    """In the place of the process that builds: notes what is asked, and writes something."""

    def __init__(self) -> None:
        self.requests: list[BuildRequest] = []
        self.fails: dict[str, str] = {}

    def __call__(self, request: BuildRequest, notify: Callable[[BuildProgress], None]) -> Built:
        self.requests.append(request)
        spec = request.spec
        notify(BuildProgress(0.5, "timing"))
        content = f"{spec.engine} {spec.form} {len(self.requests)}".encode()
        Path(request.output).write_bytes(content)
        if spec.engine in self.fails:
            raise BuildError(self.fails[spec.engine])
        layers = Layers(all=9, int8=3, fp16=2, fp32=1)
        return Built(hashlib.sha256(content).hexdigest(), len(content), layers)

    def names(self) -> list[str]:
        names = [request.spec.engine for request in self.requests]
        self.requests.clear()
        return names


def build(root: Path, precision: str = "fp32", rebuild: bool = True, **options: Any) -> Build:
    return build_engines(Bundle.open(root), precision, BuildOptions(**options), rebuild=rebuild)


def place(root: Path, engine: str = EDGE, form: Form = "fp32") -> Path:
    return engine_path(root, target(), form, engine)


def leftovers(root: Path) -> list[Path]:
    """What a build may not leave behind: temporary files, and halves of pairs."""
    engines = {path.with_suffix("") for path in root.glob("trt/*/*/*.engine")}
    facts = {path.with_suffix("") for path in root.glob("trt/*/*/*.json")}
    return [*root.glob("trt/**/.*.tmp"), *(engines ^ facts)]


VERSIONS, HARDWARE = {"version_compatible": True}, {"hardware_compatible": True}


def change_manifest(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit_manifest(root, change)


def replace_model(root: Path, engine: str, content: bytes) -> None:
    path = root / "onnx" / "fp32" / f"{engine}.onnx"
    path.unlink()
    path.write_bytes(content)
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change_manifest(root, lambda m: m["engines"][engine]["files"]["fp32"].update(facts))


def change_source(root: Path) -> None:
    """Another ONNX file for one engine, as another export would have put there."""
    model = onnx.load_model(root / "onnx" / "fp32" / f"{EDGE}.onnx")
    model.doc_string = "another"
    replace_model(root, EDGE, model.SerializeToString())


def request_for(
    root: Path, tmp_path: Path, engine: str = EDGE, form: Form = "fp32"
) -> BuildRequest:
    spec = tensorrt._spec(Bundle.open(root), engine, form, target(), BuildOptions())
    return BuildRequest(
        bundle=str(root),
        spec=spec,
        output=str(tmp_path / "out.engine"),
        timing_cache=str(tmp_path / "timing.cache"),
    )


def unsupported(root: Path, engine: str) -> None:
    """Puts an operator into an engine that TensorRT does not have."""
    model = onnx.load_model(root / "onnx" / "fp32" / f"{engine}.onnx")
    node = next(node for node in model.graph.node if node.op_type in ("Relu", "Add"))
    node.op_type = "Det"
    del node.input[1:]
    replace_model(root, engine, model.SerializeToString())
