"""What can run on a machine, and what would run a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from denet.errors import DenetError
from denet.graph import RGB_NIR_TIR
from runtime.backends import BACKENDS, BackendError, choose
from runtime.backends.tensorrt.files import BuildSpec, EngineFacts, Layers, engine_path, facts_path
from runtime.backends.tensorrt.machine import BuildMachine, BuildOptions
from runtime.backends.tensorrt.trust import with_code
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import cpu_platforms
from runtime.doctor import diagnose, diagnosis
from runtime.doctor.advice import advise_bundle
from runtime.doctor.diagnosis import AUTO, why_not
from runtime.doctor.software import BundleChoice, Package, Software
from runtime.machine import Machine, read_machine
from runtime.machine.gpu import Gpu
from tests.runtime.doctor.machines import ALL, CPU_ONLY, ORIN, changed, empty, shown
from tests.runtime.machine.machines import RTX, become, desktop, orin

ENGINES = RGB_NIR_TIR.engines


@pytest.mark.parametrize(
    ("backend", "gpu", "found", "reason"),
    [
        ("ort-cpu", None, CPU_ONLY, None),
        (
            "ort-cpu",
            None,
            changed(CPU_ONLY, onnxruntime=Package(reason="bad")),
            "ONNX Runtime: bad",
        ),
        ("ort-cuda", None, ALL, "no NVIDIA GPU was found"),
        ("tensorrt", None, ALL, "no NVIDIA GPU was found"),
        (
            "ort-cuda",
            RTX,
            CPU_ONLY,
            "this ONNX Runtime was built without CUDAExecutionProvider",
        ),
        (
            "ort-cuda",
            RTX,
            changed(ALL, providers={"CUDAExecutionProvider": "libcudnn.so.9: cannot open"}),
            "libcudnn.so.9: cannot open",
        ),
        ("ort-cuda", RTX, ALL, None),
        ("ort-trt", RTX, ALL, None),
        ("ort-trt-rtx", RTX, CPU_ONLY, "onnxruntime-ep-nv-tensorrt-rtx is not installed"),
        ("tensorrt", RTX, ALL, None),
        ("tensorrt", RTX, changed(ALL, cuda_python=Package(reason="not installed")), None),
        ("tensorrt", RTX, CPU_ONLY, "TensorRT: not installed"),
        (
            "tensorrt",
            RTX,
            changed(ALL, pycuda=Package(reason="not installed")),
            "PyCUDA: not installed",
        ),
        (
            "tensorrt",
            RTX,
            changed(ALL, tensorrt_backend="TensorRT-RTX 1.7.1"),
            "in the place of TensorRT, there is TensorRT-RTX 1.7.1",
        ),
    ],
)
def test_why_a_backend_cannot_run(
    backend: str,
    gpu: Gpu | None,
    found: Software,
    reason: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(monkeypatch, gpu)
    assert why_not(backend, read_machine(tmp_path), found) == reason


def test_a_card_without_a_driver_is_told_from_no_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, None)
    reason = why_not("ort-cuda", read_machine(desktop(tmp_path)), ALL)
    assert reason == "there is an NVIDIA card, but no CUDA driver that sees it"


def test_every_backend_can_be_judged(tmp_path: Path) -> None:
    machine = read_machine(tmp_path)
    for backend in BACKENDS[1:]:
        why_not(backend, machine, ALL)
    assert set(AUTO) <= set(BACKENDS)


def test_a_bundle_on_this_machine(bundle_path: Path, played: Callable[..., Machine]) -> None:
    played(empty, None, None, CPU_ONLY)
    found = diagnose(bundle_path, "ort-cpu")
    assert found.refusal is None
    assert found.bundle is not None
    here = choose(Bundle.open(bundle_path), "ort-cpu", "auto", None)
    here.backend.close()
    assert found.bundle.chosen == BundleChoice(  # which was asked of another process
        backend="ort-cpu", precision="int8", variant=here.variant, reason=here.reason
    )
    assert found.bundle.chosen.variant == f"int8-{cpu_platforms()[0]}"
    assert found.bundle.precisions["int8-avx2"] is None
    assert found.bundle.precisions["int8-trt"] == "it is made for TensorRT, which cannot run here"
    assert found.bundle.engines == {}
    assert found.advice == ()


def test_a_bundle_without_int8_can_be_calibrated() -> None:
    (advice,) = advise_bundle("b.denet", {"fp32": None, "int8-trt": "no"}, False, {})
    assert advice.commands == ("denet calibrate b.denet DATA",)


@pytest.mark.parametrize(
    ("name", "backends", "why"),
    [
        ("fp32", {}, None),
        ("fp16", {}, None),
        ("int8-avx2", {}, None),
        ("int8-trt", {"tensorrt": "no", "ort-trt": None}, None),
        ("mixed-trt", {"tensorrt": "no"}, "it is made for TensorRT, which cannot run here"),
    ],
)
def test_what_of_a_bundle_can_run(
    name: str, backends: dict[str, str | None], why: str | None
) -> None:
    assert diagnosis._why_not_here(name, backends) == why


def test_int8_for_another_cpu_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "cpu_platforms", lambda: ("avx2",))
    assert diagnosis._why_not_here("mixed-vnni", {}) == "it is made for a CPU with VNNI"


HERE = BuildMachine(
    gpu="Orin",
    compute_capability=(8, 7),
    multiprocessors=8,
    integrated=True,
    platform="linux-x86_64",
    tensorrt="10.3.0",
    backend="TensorRT 10.3.0",
)


def build(bundle: Bundle, engine: str, **changes: Any) -> None:
    """An engine and its facts, as a build leaves them."""
    content = engine.encode()
    spec = BuildSpec(
        engine=engine,
        form="fp32",
        source_sha256=bundle.manifest.engines[engine].files["fp32"].sha256,
        machine=HERE,
        profile={},
        options=BuildOptions(),
    )
    facts = EngineFacts(
        spec=msgspec.structs.replace(spec, **changes),
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        layers=Layers(all=1, int8=0, fp16=0, fp32=1),
        seconds=1.0,
        tools={},
    )
    path = engine_path(bundle.root, HERE, "fp32", engine)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    facts_path(path).write_bytes(msgspec.json.encode(with_code(facts)))


def test_engines_that_are_ready_missing_and_stale(
    bundle_path: Path, played: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    played(orin, ORIN, "12.6", ALL)
    chosen = BundleChoice(backend="tensorrt", precision="fp32", variant="fp32", reason="built")
    monkeypatch.setattr(diagnosis, "would_run", lambda *_: chosen)
    bundle = Bundle.open(bundle_path)
    for engine in ENGINES[:10]:
        build(bundle, engine)
    build(bundle, ENGINES[10], source_sha256="0" * 64)
    found = diagnose(bundle.root)
    assert found.bundle is not None
    engines = found.bundle.engines["fp32"]
    command = f"run `denet build {bundle.root}`"
    assert (engines.ready, engines.of) == (10, 15)
    assert engines.missing == {
        f"it was built from another ONNX file: {command}": 1,
        f"not built for this machine: {command}": 4,
    }
    assert (f"denet build {bundle.root}",) in [advice.commands for advice in found.advice]
    text = shown(found)
    assert "10 of 15 are built for this machine" in text
    assert "tensorrt, fp32: built" in text


def test_a_choice_that_cannot_run_is_said(
    bundle_path: Path, played: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "libcudnn.so.9: cannot open"
    providers = {"CPUExecutionProvider": None, "CUDAExecutionProvider": reason}
    played(desktop, RTX, "13.0", changed(CPU_ONLY, providers=providers))
    chosen = BundleChoice(backend="ort-cuda", precision="fp32", variant="fp32", reason="a GPU")
    monkeypatch.setattr(diagnosis, "would_run", lambda *_: chosen)
    found = diagnose(bundle_path)
    assert found.refusal is None  # ort-cpu can
    assert f"but ort-cuda cannot run here: {reason}" in shown(found)
    with pytest.raises(BackendError, match=r"ort-cuda cannot run here: libcudnn\.so\.9"):
        diagnose(bundle_path, "ort-cuda").insist()


def test_where_nothing_can_run_that_is_an_error(played: Callable[..., Machine]) -> None:
    played(empty, None, None, changed(CPU_ONLY, onnxruntime=Package(reason="bad")))
    with pytest.raises(BackendError, match="nothing can run here: ONNX Runtime: bad"):
        diagnose().insist()


def test_a_precision_without_a_bundle_is_an_error() -> None:
    with pytest.raises(DenetError, match="name the BUNDLE"):
        diagnose(precision="int8")
