"""A machine that is played, and a bundle of nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import runtime.backends.tensorrt.machine
from denet.graph import RGB_NIR_TIR
from runtime.bundle.forms import FORMS, INT8, Form, variant
from runtime.bundle.manifest import (
    MANIFEST,
    SCHEMA,
    Canary,
    Engine,
    File,
    HeadSpec,
    Manifest,
    NormalizationSpec,
    Preprocessing,
    TensorSpec,
)
from runtime.bundle.meaning import tensors
from runtime.doctor import diagnosis
from runtime.doctor.software import Software
from runtime.machine import Machine, read_machine
from runtime.machine.gpu import Gpu
from runtime.seal import sealed
from tests.runtime.machine.machines import become, write

ENGINES = RGB_NIR_TIR.engines
MODALITIES = RGB_NIR_TIR.modalities
VARIANTS = ("fp32", "fp16", *(variant("int8", platform) for platform in INT8))


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Calling it makes this machine another one, with that software."""

    def play(
        files: Callable[[Path], Path], gpu: Gpu | None, cuda: str | None, found: Software
    ) -> Machine:
        become(monkeypatch, gpu, cuda)
        monkeypatch.setattr(runtime.backends.tensorrt.machine, "find_gpu", lambda: gpu)
        machine = read_machine(files(tmp_path / "machine"))
        monkeypatch.setattr(diagnosis, "read_machine", lambda: machine)
        monkeypatch.setattr(diagnosis, "inspect_software", lambda _: found)
        return machine

    return play


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    """A bundle in every precision but "mixed". No engine of it can be run."""
    root = tmp_path / "played.denet"
    files: dict[Form, File] = {}
    for form in FORMS:
        write(root, {f"onnx/{form}.onnx": form})
        content = (root / f"onnx/{form}.onnx").read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        files[form] = File(path=f"onnx/{form}.onnx", sha256=sha256, bytes=len(content))
    normalization = NormalizationSpec(mean=(0, 0, 0), std=(1, 1, 1), range16=(0, 1))
    manifest = Manifest(
        format="denet-bundle",
        schema=SCHEMA,
        tools={},
        checkpoint_sha256="0" * 64,
        model={},
        channels=1,
        feature_size=(1, 1),
        preprocessing=Preprocessing(
            height=1,
            width=1,
            interpolation="bilinear",
            modalities=dict.fromkeys(MODALITIES, normalization),
        ),
        engines={},
        default_precision="int8",
        head=HeadSpec(dim=6, normalize=True, affine=None),
        canary=Canary(file=files["fp32"], min_cosine=dict.fromkeys(VARIANTS, 0.9)),
    )
    engines = {
        name: Engine(
            **{
                what: tuple(TensorSpec(name=tensor, shape=shape) for tensor, shape in found.items())
                for what, found in zip(("inputs", "outputs"), tensors(manifest, name), strict=True)
            },
            flops=0,
            files=files,
        )
        for name in ENGINES
    }
    (root / MANIFEST).write_bytes(sealed(msgspec.structs.replace(manifest, engines=engines)))
    return root
