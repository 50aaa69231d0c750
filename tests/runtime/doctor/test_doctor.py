"""What `denet doctor` finds: on this machine, on machines that are played, and with packages that
are broken in every way."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator
from rich.console import Console

import runtime.backends.tensorrt.target
from denet.errors import DenetError
from denet.graph import ENGINES, MODALITIES
from runtime.backends import BACKENDS, BackendError, choose
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.tensorrt.files import BuildSpec, EngineFacts, Layers, engine_path, facts_path
from runtime.backends.tensorrt.target import BuildOptions, BuildTarget
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import FORMS, Form, cpu_targets
from runtime.bundle.manifest import (
    MANIFEST,
    Canary,
    Engine,
    File,
    Head,
    Manifest,
    Normalization,
    Preprocessing,
)
from runtime.doctor import Diagnosis, describe_diagnosis, diagnose, diagnosis, software
from runtime.doctor.advice import advise, advise_bundle
from runtime.doctor.diagnosis import AUTO, why_not
from runtime.doctor.software import PROVIDERS, RELU, Chosen, Package, Software, inspect_software
from runtime.machine import Machine, read_machine
from runtime.machine.gpu import Gpu, find_gpu
from tests.command import denet, refused
from tests.paths import FAKE
from tests.runtime.machine.test_machine import RTX, become, desktop, orin, thor, write

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


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Calling it makes this machine another one, with that software."""

    def play(
        files: Callable[[Path], Path], gpu: Gpu | None, cuda: str | None, found: Software
    ) -> Machine:
        become(monkeypatch, gpu, cuda)
        monkeypatch.setattr(runtime.backends.tensorrt.target, "find_gpu", lambda: gpu)
        machine = read_machine(files(tmp_path / "machine"))
        monkeypatch.setattr(diagnosis, "read_machine", lambda: machine)
        monkeypatch.setattr(diagnosis, "inspect_software", lambda _: found)
        return machine

    return play


def empty(root: Path) -> Path:
    return root


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
    normalization = Normalization(mean=(0, 0, 0), std=(1, 1, 1), range16=(0, 1))
    manifest = Manifest(
        format="denet-bundle",
        schema=1,
        tools={},
        checkpoint_sha256="",
        model={},
        channels=1,
        feature_size=(1, 1),
        preprocessing=Preprocessing(
            height=1,
            width=1,
            interpolation="bilinear",
            modalities=dict.fromkeys(MODALITIES, normalization),
        ),
        engines=dict.fromkeys(ENGINES, Engine(inputs=(), outputs=(), flops=0, files=files)),
        default_precision="int8",
        head=Head(dim=6, normalize=True, affine=None),
        canary=Canary(file=files["fp32"], min_cosine={}),
    )
    (root / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return root


def shown(found: Diagnosis) -> str:
    """As an 80-column terminal has it."""
    text = io.StringIO()
    Console(file=text, width=80).print(describe_diagnosis(found), crop=False)
    return text.getvalue()


# Packages, in processes of their own


def test_the_smallest_model_is_a_model() -> None:
    model = onnx.load_model_from_string(RELU)
    onnx.checker.check_model(model)
    (y,) = ReferenceEvaluator(model).run(None, {"x": np.array([-2.0], np.float32)})
    assert y == [0.0]
    Pool.ensure(None)
    session = open_session(RELU, CPU, "relu")
    (y,) = session.run(None, {"x": np.array([2.0], np.float32)})
    assert y == [2.0]


def test_what_is_installed_here() -> None:
    found = inspect_software(has_gpu=False)
    assert found.onnxruntime == Package(version=ort.__version__)
    assert list(found.providers) == ort.get_available_providers()
    assert found.providers["CPUExecutionProvider"] is None
    for package in (found.tensorrt, found.pycuda, found.cuda_python):
        assert (package.version is None) == (package.reason is not None)


@pytest.mark.skipif(find_gpu() is not None, reason="for machines without a GPU")
def test_a_provider_that_cannot_start_says_which_library_it_lacks() -> None:
    told = software._ask("onnxruntime", True)
    reasons = {name: told["providers"].pop(name) for name in ort.get_available_providers()}
    assert reasons.pop("CPUExecutionProvider") is None
    for reason in reasons.values():
        assert reason
        assert "\n" not in reason
    if "CUDAExecutionProvider" in reasons:
        assert "EP Error" not in reasons["CUDAExecutionProvider"]


def test_a_tensorrt_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FAKE)
    assert software._ask("tensorrt") == {"version": "10.3.0", "backend": "TensorRT 10.3.0"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "raise ImportError('libnvinfer.so.10: cannot open shared object file\\nmore')",
            {"because": "libnvinfer.so.10: cannot open shared object file"},
        ),
        ("import tensorrt_libs_9", {"because": "No module named 'tensorrt_libs_9'"}),
        ("raise SystemExit", {"because": "it ends its process: exit code 0"}),
        ("import os; os.abort()", {"because": "it crashes (signal 6)"}),
        (
            "import os, sys; sys.stderr.write('CUDA: bad\\n'); sys.stderr.flush(); os._exit(3)",
            {"because": "it ends its process: CUDA: bad"},
        ),
        (
            "import atexit, os; print('hello', end=''); atexit.register(os.abort)\n"
            "__version__, __backend__ = '11.4.0', 'TensorRT-RTX 1.7.1'",
            {"version": "11.4.0", "backend": "TensorRT-RTX 1.7.1"},
        ),
    ],
    ids=["library", "dependency", "exits", "crashes", "dies", "crashes-after-it-answered"],
)
def test_a_tensorrt_that_is_broken(
    source: str, told: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"tensorrt/__init__.py": source})
    monkeypatch.syspath_prepend(tmp_path)
    assert software._ask("tensorrt") == told


def test_a_package_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "PATIENCE", 0.01)
    assert software._ask("tensorrt") == {"because": "no answer in 0 seconds"}


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (["CPUExecutionProvider", "RTX"], None),
        (["CPUExecutionProvider"], "onnxruntime-ep-nv-tensorrt-rtx sees no GPU"),
        (None, "no such library"),
    ],
)
def test_tensorrt_rtx_as_a_plugin(
    devices: list[str] | None, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = SimpleNamespace(get_ep_name=lambda: "RTX", get_library_path=lambda: "rtx.so")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plugin)
    registered: list[tuple[str, str]] = []

    def register(name: str, path: str) -> None:
        registered.append((name, path))
        if devices is None:
            raise RuntimeError("no such library\nand more")

    played = SimpleNamespace(
        register_execution_provider_library=register,
        get_ep_devices=lambda: [SimpleNamespace(ep_name=name) for name in devices or []],
    )
    assert software._rtx_plugin(played) == {"NvTensorRTRTXExecutionProvider": told}
    assert registered == [("RTX", "rtx.so")]


def test_a_folder_in_the_current_directory_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"pycuda/__init__.py": "VERSION_TEXT = '0'", "pycuda/driver.py": ""})
    monkeypatch.chdir(tmp_path)
    assert software._ask("pycuda").get("version") != "0"


# What can run


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


# What to do for more


def no_card(root: Path) -> Path:
    """A PC in a container that was not given its card."""
    return write(desktop(root), {".dockerenv": ""})


NO_CUDA = dict.fromkeys(("tensorrt", "ort-cuda"), "a reason") | {"ort-cpu": None}


@pytest.mark.parametrize(
    ("files", "gpu", "cuda", "found", "commands"),
    [
        (empty, None, None, CPU_ONLY, ()),
        (desktop, None, None, CPU_ONLY, ("sudo ubuntu-drivers install",)),
        (no_card, None, None, CPU_ONLY, ("docker run --gpus all ...",)),
        (
            desktop,
            RTX,
            "13.0",
            changed(ALL, tensorrt=Package(reason="not installed")),
            (
                'pip install ".[gpu]"',
                "sudo apt install cuda-toolkit",
                "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include",
                'pip install ".[tensorrt]"',
            ),
        ),
        (
            desktop,
            RTX,
            "13.0",
            changed(ALL, providers={}, pycuda=Package(reason="not installed")),
            (
                "pip uninstall onnxruntime",
                "pip install onnxruntime-gpu",
                "sudo apt install cuda-toolkit",
                "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include",
                "pip install pycuda",
            ),
        ),
        (
            orin,
            ORIN,
            "12.6",
            CPU_ONLY,
            (
                "pip uninstall onnxruntime",
                "pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/jp6/cu126",
                "sudo apt install python3-libnvinfer",
                "python3 -m venv --system-site-packages .venv",
                "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include",
                "pip install pycuda",
                "pip install cuda-python",
            ),
        ),
        (orin, ORIN, "12.6", ALL, ("sudo apt install nvidia-jetpack",)),
        (orin, None, None, CPU_ONLY, ("docker run --runtime nvidia --gpus all ...",)),
    ],
    ids=[
        "a PC without a GPU",
        "a card without a driver",
        "a container without the card",
        "a PC without CUDA's libraries and TensorRT",
        "a PC with ONNX Runtime for CPUs and without PyCUDA",
        "a bare Jetson",
        "a Jetson without cuDNN",
        "a Jetson's container without its GPU",
    ],
)
def test_advice(
    files: Callable[[Path], Path],
    gpu: Gpu | None,
    cuda: str | None,
    found: Software,
    commands: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(monkeypatch, gpu, cuda)
    machine = read_machine(files(tmp_path))
    advice = advise(machine, found, NO_CUDA)
    assert tuple(command for each in advice for command in each.commands) == commands


def test_where_all_is_well_there_is_no_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, RTX, "13.0")
    well: dict[str, str | None] = dict.fromkeys(BACKENDS[1:])
    assert [*advise(read_machine(desktop(tmp_path)), ALL, well)] == []
    assert [*advise_bundle("b.denet", {"fp32": None, "int8-vnni": None}, False, well)] == []


@pytest.mark.parametrize("providers", [{}, {"CUDAExecutionProvider": "no kernel image is there"}])
def test_jetpack_7_has_no_onnx_runtime_with_cuda(
    providers: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, Gpu("NVIDIA Thor", (11, 0), 20, True))
    found = changed(ALL, providers=providers)
    advice = [*advise(read_machine(thor(tmp_path)), found, NO_CUDA)]
    assert "would have to be built for this Jetson" in advice[0].what
    assert [each.commands for each in advice] == [(), ("sudo jetson_clocks",)]


def test_a_driver_that_is_too_old_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, RTX, "12.4")
    (advice,) = advise(read_machine(desktop(tmp_path)), ALL, NO_CUDA)
    assert "update the driver, which is for 12.4" in advice.what


def test_clocks_that_change_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, ORIN)
    policy = "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq"
    machine = read_machine(write(orin(tmp_path), {policy: 729600}))
    (advice,) = advise(machine, ALL, dict.fromkeys(BACKENDS[1:]))
    assert advice.commands == ("sudo jetson_clocks",)


# A bundle


def test_a_bundle_on_this_machine(bundle_path: Path, played: Callable[..., Machine]) -> None:
    played(empty, None, None, CPU_ONLY)
    found = diagnose(bundle_path, "ort-cpu")
    assert found.refusal is None
    assert found.bundle is not None
    here = choose(Bundle.open(bundle_path), "ort-cpu", "auto", None)
    here.backend.close()
    assert found.bundle.chosen == Chosen(  # which was asked of another process
        backend="ort-cpu", precision="int8", variant=here.variant, reason=here.reason
    )
    assert found.bundle.chosen.variant == f"int8-{cpu_targets()[0]}"
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
    monkeypatch.setattr(diagnosis, "cpu_targets", lambda: ("avx2",))
    assert diagnosis._why_not_here("mixed-vnni", {}) == "it is made for a CPU with VNNI"


HERE = BuildTarget(
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
        target=HERE,
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
    facts_path(path).write_bytes(msgspec.json.encode(facts))


def test_engines_that_are_ready_missing_and_stale(
    bundle_path: Path, played: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    played(orin, ORIN, "12.6", ALL)
    chosen = Chosen(backend="tensorrt", precision="fp32", variant="fp32", reason="built")
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
    chosen = Chosen(backend="ort-cuda", precision="fp32", variant="fp32", reason="a GPU")
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


# The command


def test_the_command_on_this_machine() -> None:
    result = denet("doctor")
    assert result.exit_code == 0, result.output
    for word in ("CPU", *BACKENDS[1:], ort.__version__, "int8-avx2"):
        assert word in result.output


def test_a_demand_that_cannot_be_met_is_one_line(
    bundle_path: Path, played: Callable[..., Machine]
) -> None:
    played(empty, None, None, CPU_ONLY)
    result = denet("doctor", "--backend", "ort-cuda")
    refused(result, "ort-cuda cannot run here: no NVIDIA GPU was found")
    assert "Machine" in result.stdout
    refused(denet("doctor", bundle_path, "--precision", "mixed"), "no engines in precision 'mixed'")
    refused(denet("doctor", "--backend", "gpu"), "unknown backend 'gpu'")
    refused(denet("doctor", "nothing.denet"), "nothing.denet")


def test_json_has_these_fields(bundle_path: Path, played: Callable[..., Machine]) -> None:
    played(orin, ORIN, "12.6", CPU_ONLY)
    result = denet("doctor", bundle_path, "--backend", "ort-cpu", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert {name: sorted(value) for name, value in facts.items() if isinstance(value, dict)} == {
        "machine": sorted(Machine.__struct_fields__),
        "software": [
            "cuda_python",
            "onnxruntime",
            "providers",
            "pycuda",
            "tensorrt",
            "tensorrt_backend",
        ],
        "backends": sorted(BACKENDS[1:]),
        "bundle": ["chosen", "engines", "path", "precisions"],
    }
    assert set(facts) == set(Diagnosis.__struct_fields__)
    assert facts["int8"] == [f"int8-{target}" for target in cpu_targets()]
    assert facts["bundle"]["chosen"]["reason"] == "asked for by name"
    assert facts["software"]["pycuda"] == {"version": None, "reason": "not installed"}
    assert facts["bundle"]["engines"] == {}
    assert facts["advice"][0].keys() == {"what", "commands"}
    assert msgspec.convert(facts, Diagnosis).machine.gpu == ORIN


def test_it_reads_well_in_80_columns(played: Callable[..., Machine]) -> None:
    reason = "libnvinfer.so.10: cannot open shared object file: No such file or directory"
    broken = changed(CPU_ONLY, tensorrt=Package(reason=reason))
    played(orin, ORIN, "12.6", broken)
    text = shown(diagnose())
    command = "pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/jp6/cu126"
    assert [line for line in text.splitlines() if len(line) > 80] == [f"      {command}"]
    assert "broken: libnvinfer.so.10" in text
    assert "MAXN_SUPER" in text
    stand_in = Package(version="11.4.0")
    played(empty, None, None, changed(ALL, tensorrt=stand_in, tensorrt_backend="TensorRT-RTX 1.7"))
    assert "11.4.0\n                   TensorRT-RTX 1.7\n" in "\n".join(
        line.rstrip() for line in shown(diagnose()).splitlines()
    )
    assert "JetPack 6.2" in text
