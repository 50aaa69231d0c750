"""Building TensorRT engines: what is decided without TensorRT, with one that is played
(tests/fake), and, marked `tensorrt`, with NVIDIA's parser and compiler."""

from __future__ import annotations

import ast
import ctypes
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import onnx
import pytest

import runtime.machine.gpu
from calibration import Outcome
from denet.graph import ENGINES
from export.tensorrt import build as tensorrt
from export.tensorrt import process
from export.tensorrt.build import Build, build_engines, check_machine, choose_forms
from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, Built, parse_batch
from runtime import BackendError, Bundle
from runtime.backends.tensorrt.files import (
    EngineFileError,
    Layers,
    engine_path,
    facts_path,
    find_engines,
    open_engine,
    profile_of,
)
from runtime.backends.tensorrt.target import (
    BuildOptions,
    BuildTarget,
    TensorRTMissingError,
    load_tensorrt,
    this_target,
    why_foreign,
)
from runtime.bundle.forms import Form, Precision
from runtime.machine.gpu import Gpu, find_gpu
from tests.command import denet, refused
from tests.conftest import copied
from tests.paths import FAKE, ROOT
from tests.runtime.backends.tensorrt.test_backend import Machine

KIT = ROOT.parent / "shared" / "trt-cpu"

FORMS: tuple[Form, ...] = ("fp32", "fp16", "int8-trt")
PRECISION: dict[Form, Precision] = {"fp32": "fp32", "fp16": "fp16", "int8-trt": "int8"}
EDGE, CMFT, BRANCH = "dem_rgb2nir", "cmft_rgb2nir", "branch_rgb"


def target(**changes: Any) -> BuildTarget:
    orin = BuildTarget(
        gpu="Orin",
        compute_capability=(8, 7),
        multiprocessors=16,
        integrated=True,
        platform="linux-aarch64",
        tensorrt="10.3.0",
        backend="TensorRT 10.3.0",
    )
    return msgspec.structs.replace(orin, **changes)


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


@pytest.fixture
def root(bundle_path: Path, tmp_path: Path) -> Path:
    return copied(bundle_path, tmp_path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Calling it makes this machine another one."""

    def become(here: BuildTarget, module: Any = MODULE) -> None:
        monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: module)
        monkeypatch.setattr(tensorrt, "this_target", lambda _: here)

    become(target())
    return become


@pytest.fixture
def builder(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Builder:
    """This machine is a Jetson, and builds in no time."""
    builder = Builder()
    monkeypatch.setattr(process, "run", builder)
    return builder


def build(root: Path, precision: str = "fp32", rebuild: bool = True, **options: Any) -> Build:
    return build_engines(Bundle.open(root), precision, BuildOptions(**options), rebuild=rebuild)


def place(root: Path, engine: str = EDGE, form: Form = "fp32") -> Path:
    return engine_path(root, target(), form, engine)


def leftovers(root: Path) -> list[Path]:
    """What a build may not leave behind: temporary files, and halves of pairs."""
    engines = {path.with_suffix("") for path in root.glob("trt/*/*/*.engine")}
    facts = {path.with_suffix("") for path in root.glob("trt/*/*/*.json")}
    return [*root.glob("trt/**/.*.tmp"), *(engines ^ facts)]


# What a user writes


@pytest.mark.parametrize(
    ("text", "batch"), [("1:1:16", (1, 1, 16)), ("1:4:16", (1, 4, 16)), ("8:8:8", (8, 8, 8))]
)
def test_a_profile_is_read(text: str, batch: tuple[int, int, int]) -> None:
    assert parse_batch(text) == batch


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "1:4",
        "1:4:16:32",
        "0:1:4",
        "4:1:16",
        "1:8:4",
        "-1:1:4",
        "1:x:4",
        "1: 4:16",
        "1:4:9999999",
    ],
)
def test_a_bad_profile_is_refused_and_named(text: str) -> None:
    with pytest.raises(BuildError, match=f"--batch {text}"):
        parse_batch(text)


def test_a_profile_covers_batches_and_targets(bundle: Bundle) -> None:
    engines = bundle.manifest.engines
    assert profile_of(engines[BRANCH], (1, 4, 16)) == {
        "image": ((1, 3, 64, 32), (4, 3, 64, 32), (16, 3, 64, 32))
    }
    edge = profile_of(engines[EDGE], (1, 4, 16))
    assert edge["feature"] == ((1, 512, 4, 2), (4, 512, 4, 2), (16, 512, 4, 2))
    assert edge["base"] == edge["sum"] == ((1, 1, 512), (2, 4, 512), (2, 16, 512))


def test_a_precision_is_chosen_for_tensorrt(outcome: Outcome, bundle: Bundle) -> None:
    assert choose_forms(outcome.bundle, "int8") == ("int8", dict.fromkeys(ENGINES, "int8-trt"))
    assert choose_forms(outcome.bundle, "fp16") == ("fp16", dict.fromkeys(ENGINES, "fp16"))
    assert choose_forms(outcome.bundle, "mixed")[1] == outcome.bundle.manifest.mixed["trt"].engines
    assert choose_forms(outcome.bundle, "auto")[0] == outcome.bundle.manifest.default_precision
    assert choose_forms(bundle, "auto") == ("fp32", dict.fromkeys(ENGINES, "fp32"))


def test_auto_falls_back_to_fp32_where_the_default_is_for_cpus(outcome: Outcome) -> None:
    manifest = msgspec.structs.replace(outcome.bundle.manifest, mixed={})
    assert manifest.default_precision == "mixed"
    assert choose_forms(Bundle(outcome.bundle.root, manifest), "auto")[0] == "fp32"


def test_a_precision_that_is_not_there_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BuildError, match=r"has no int8 for TensorRT, only fp32: .*--target trt"):
        choose_forms(bundle, "int8")
    with pytest.raises(BuildError, match="unknown precision 'int4': choose from auto, fp32"):
        choose_forms(bundle, "int4")


# The machine


@pytest.mark.parametrize(
    ("here", "name"),
    [
        (target(), "orin-cc8.7-16sm-linux-aarch64-tensorrt-10.3.0"),
        (DESKTOP, "nvidia-geforce-rtx-4090-cc8.9-128sm-linux-x86_64-tensorrt-10.3.0"),
        (NO_GPU, "no-gpu-linux-aarch64-tensorrt-10.3.0"),
        (target(gpu="../../etc\\x: (A)"), "etc-x-a-cc8.7-16sm-linux-aarch64-tensorrt-10.3.0"),
    ],
)
def test_a_target_has_a_name_that_is_a_folder(here: BuildTarget, name: str) -> None:
    assert here.name == name


def test_jetsons_of_one_name_have_folders_of_their_own() -> None:
    assert target().name != target(multiprocessors=8).name


class Driver:
    """A CUDA driver with one device."""

    def __init__(self, fails: str = "") -> None:
        self._fails = fails

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 100 * (self._fails == "cuInit")

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return 101 * (self._fails == "cuDeviceGet")

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = b"Orin "
        return 101 * (self._fails == "cuDeviceGetName")

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 7, 16: 16, 18: 1}[which]
        return 0


def test_the_gpu_is_asked_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert find_gpu() == Gpu("Orin", (8, 7), 16, integrated=True)
    assert this_target(module_with(__version__="10.3.0")).gpu == "Orin"


@pytest.mark.parametrize("fails", ["cuInit", "cuDeviceGet", "cuDeviceGetName"])
def test_a_driver_without_a_device_is_no_gpu(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(fails))
    assert find_gpu() is None


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    here = this_target(module_with(__version__="10.3.0"))
    assert (here.gpu, here.compute_capability, here.integrated) == (None, None, False)
    assert here.backend == "TensorRT 10.3.0"


def module_with(**names: Any) -> ModuleType:
    module = ModuleType("tensorrt")
    vars(module).update(names)
    return module


def test_what_stands_in_for_tensorrt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.machine.gpu.ctypes, "CDLL", lambda name: Driver("cuInit"))
    module = module_with(__version__="11.4.0", __backend__="TensorRT-RTX 1.7")
    here = this_target(module)
    assert (here.tensorrt, here.backend) == ("11.4.0", "TensorRT-RTX 1.7")
    assert here.name.startswith("no-gpu-")


VERSIONS, HARDWARE = {"version_compatible": True}, {"hardware_compatible": True}


@pytest.mark.parametrize(
    ("built", "here", "options", "reason"),
    [
        (target(), target(), {}, None),
        (target(), DESKTOP, {}, "on linux-aarch64, and this is linux-x86_64"),
        (target(), target(multiprocessors=8), {}, "16 multiprocessors.*8 multiprocessors"),
        (target(), NO_GPU, {}, "for Orin .*, and this is no GPU"),
        (NO_GPU, target(), {}, "for no GPU"),
        (
            target(backend="TensorRT 10.3.0"),
            target(backend="TensorRT 10.7.0"),
            {},
            "by TensorRT 10",
        ),
        (target(backend="TensorRT 10.3.0"), target(backend="TensorRT 10.7.0"), VERSIONS, None),
        (target(backend="TensorRT 10.7.0"), target(backend="TensorRT 10.3.0"), VERSIONS, "by"),
        (target(backend="TensorRT 10.3.0"), target(backend="TensorRT 11.4.1"), VERSIONS, None),
        (target(backend="TensorRT 11.4.1"), target(backend="TensorRT 12.0"), VERSIONS, "by"),
        (target(backend="TensorRT 10.3"), target(backend="TensorRT-RTX 10.4"), VERSIONS, "by"),
        (target(backend="TensorRT x"), target(backend="TensorRT y"), VERSIONS, "by"),
        (DESKTOP, A100, {}, "4090.*A100"),
        (DESKTOP, A100, HARDWARE, None),
        (A100, msgspec.structs.replace(A100, compute_capability=(7, 5)), HARDWARE, "A100"),
        (A100, msgspec.structs.replace(A100, integrated=True), HARDWARE, "A100"),
        (NO_GPU, target(), HARDWARE, "for no GPU"),
    ],
)
def test_an_engine_is_loaded_where_it_may_be(
    built: BuildTarget, here: BuildTarget, options: dict[str, bool], reason: str | None
) -> None:
    found = why_foreign(built, BuildOptions(**options), here)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(reason, found), found


@pytest.mark.parametrize(
    ("here", "module", "options", "reason"),
    [
        (target(), MODULE, HARDWARE, "not on Orin: .* not for a Jetson's"),
        (
            msgspec.structs.replace(DESKTOP, compute_capability=(7, 5)),
            MODULE,
            HARDWARE,
            "from compute capability 8.0 on",
        ),
        (DESKTOP, SimpleNamespace(BuilderFlag=None), HARDWARE, "10.3.0 cannot build such"),
        (DESKTOP, SimpleNamespace(BuilderFlag=None), VERSIONS, "10.3.0 cannot build such"),
    ],
)
def test_what_a_machine_cannot_build_is_refused(
    here: BuildTarget,
    module: Any,
    options: dict[str, bool],
    reason: str,
    machine: Callable[..., None],
) -> None:
    machine(here, module)
    with pytest.raises(BuildError, match=reason):
        check_machine(BuildOptions(**options))


def test_what_a_machine_can_build_is_not(machine: Callable[..., None]) -> None:
    for here, options in ((DESKTOP, HARDWARE), (NO_GPU, HARDWARE), (target(), VERSIONS)):
        machine(here)
        assert check_machine(BuildOptions(**options)) == here


def test_a_missing_tensorrt_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(TensorRTMissingError, match=r"JetPack .*pip install tensorrt"):
        load_tensorrt()


@pytest.mark.parametrize(
    "code", ["import tensorrt_libs_absent", "raise OSError('libnvinfer.so.10: no such file')"]
)
def test_a_broken_tensorrt_says_what_is_wrong(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(TensorRTMissingError, match=r"cannot be loaded: .*(absent|libnvinfer)"):
        load_tensorrt()


# What is built, and what is kept


def test_every_engine_is_built_once(root: Path, builder: Builder) -> None:
    before = (root / "manifest.json").read_bytes()
    made = build(root)
    assert builder.names() == list(ENGINES)
    assert [result.built for result in made.engines.values()] == [True] * 15
    assert made.folder == root / "trt" / target().name
    assert not leftovers(root)
    again = build(root)
    assert builder.names() == []
    assert not any(result.built for result in again.engines.values())
    assert (root / "manifest.json").read_bytes() == before
    Bundle.open(root).verify()


def test_the_facts_of_an_engine(root: Path, builder: Builder) -> None:
    build(root, batch=(1, 4, 16), workspace=64)
    engine = open_engine(place(root))
    spec = engine.facts.spec
    manifest = Bundle.open(root).manifest
    assert spec.source_sha256 == manifest.engines[EDGE].files["fp32"].sha256
    assert spec.target == target()
    assert spec.profile == profile_of(manifest.engines[EDGE], (1, 4, 16))
    assert (spec.options.workspace, spec.options.tf32) == (64, False)
    assert engine.facts.layers == Layers(all=9, int8=3, fp16=2, fp32=1)
    assert hashlib.sha256(engine.read()).hexdigest() == engine.facts.sha256
    assert json.loads(facts_path(engine.path).read_text())["format"] == "denet-engine"


def test_engines_are_compared_where_they_can_run(root: Path, builder: Builder) -> None:
    machine = Machine(Bundle.open(root))

    def again() -> Build:
        bundle = Bundle.open(root)
        return build_engines(bundle, "fp32", BuildOptions(), open_device=machine.open)

    made = again()
    assert made.unchecked is None
    assert all(float(r.engine.facts.cosine or 0) > 0.99999 for r in made.engines.values())
    kept = open_engine(place(root)).facts.cosine
    assert kept == made.engines[EDGE].engine.facts.cosine
    assert again().engines[EDGE].engine.facts.cosine == kept
    assert len(machine.devices) == 1  # what was compared once is not compared again
    found = find_engines(Bundle.open(root), target(), dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing


def test_an_engine_that_computes_something_else_is_not_kept(root: Path, builder: Builder) -> None:
    machine = Machine(Bundle.open(root))
    machine.instead = {EDGE: "dem_tir2nir"}
    bundle = Bundle.open(root)
    words = rf"{EDGE}.engine: was built, and does not compute.*cosine.*0.9999.*opt-level"
    with pytest.raises(BuildError, match=words):
        build_engines(bundle, "fp32", BuildOptions(), open_device=machine.open)
    found = find_engines(bundle, target(), dict.fromkeys(ENGINES, "fp32"))
    assert list(found.missing) == [EDGE]
    builder.names()
    machine.instead = {}
    made = build_engines(bundle, "fp32", BuildOptions(), open_device=machine.open)
    assert builder.names() == [EDGE]
    assert made.unchecked is None


def test_a_machine_that_cannot_run_engines_says_why_it_did_not_compare(
    root: Path, builder: Builder
) -> None:
    def none() -> Any:
        raise BackendError("PyCUDA is not installed")

    made = build_engines(Bundle.open(root), "fp32", BuildOptions(), open_device=none)
    assert made.unchecked == "PyCUDA is not installed"
    result = denet("build", root)
    assert "not compared with their ONNX files: " in result.output


def test_precisions_lie_side_by_side(outcome: Outcome, tmp_path: Path, builder: Builder) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    for form in FORMS:
        build(root, PRECISION[form])
        assert len(builder.names()) == 15
    assert len(list(root.glob("trt/*/*/*.engine"))) == 45
    build(root, "mixed")  # of what is there
    for form in FORMS:
        build(root, PRECISION[form])
    assert builder.names() == []


def test_progress_is_told_engine_by_engine(root: Path, builder: Builder) -> None:
    told: list[tuple[str, float, int]] = []
    build_engines(
        Bundle.open(root), "fp32", BuildOptions(), notify=lambda *facts: told.append(facts)
    )
    assert told[0] == (f"{ENGINES[0]} fp32", 0, 15)
    assert told[1] == (f"{ENGINES[0]} fp32: timing", 0.5, 15)
    assert told[-1] == ("done", 15, 15)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def change_manifest(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((root / "manifest.json").read_bytes())
    change(manifest)
    (root / "manifest.json").unlink()  # a link to the fixture's
    (root / "manifest.json").write_text(json.dumps(manifest))


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


def change_facts(*keys: str, value: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = facts_path(place(root))
        facts = inner = json.loads(path.read_bytes())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(json.dumps(facts))

    return change


def changed_file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def run(root: Path) -> None:
        path = place(root).with_name(name)
        path.write_bytes(change(path.read_bytes()))

    return run


OPTIONS = ("spec", "options")
STALE = {
    "source": (change_source, "another ONNX file"),
    "form": (change_facts("spec", "form", value="fp16"), "is dem_rgb2nir in fp16"),
    "engine": (change_facts("spec", "engine", value=CMFT), "is cmft_rgb2nir in fp32"),
    "gpu": (change_facts("spec", "target", "gpu", value="Thor"), "built for Thor"),
    "capability": (
        change_facts("spec", "target", "compute_capability", value=[8, 6]),
        "compute capability 8.6",
    ),
    "backend": (change_facts("spec", "target", "backend", value="TensorRT 10.2"), "TensorRT 10.2"),
    "version": (change_facts("spec", "target", "tensorrt", value="10.2"), "with TensorRT 10.2"),
    "profile": (change_facts("spec", "profile", value={}), "other shapes"),
    "batch": (change_facts(*OPTIONS, "batch", value=[1, 2, 4]), "batch 1:2:4, not batch 1:1:16"),
    "level": (change_facts(*OPTIONS, "opt_level", value=5), "opt-level 5, not opt-level 3"),
    "workspace": (change_facts(*OPTIONS, "workspace", value=64), "workspace 64, not"),
    "tf32": (change_facts(*OPTIONS, "tf32", value=True), "tf32 true, not tf32 false"),
    "versions": (change_facts(*OPTIONS, "version_compatible", value=True), "version-compatible"),
    "hardware": (change_facts(*OPTIONS, "hardware_compatible", value=True), "hardware-compatible"),
    "content": (changed_file(f"{EDGE}.engine", lambda c: c[:-1] + b"?"), "damaged: its sha256"),
    "size": (changed_file(f"{EDGE}.engine", lambda c: c[:-1]), "damaged: .* bytes instead of"),
    "cut facts": (changed_file(f"{EDGE}.json", lambda c: c[:-20]), "not the facts of an engine"),
    "no facts": (changed_file(f"{EDGE}.json", lambda c: b""), "not the facts of an engine"),
    "binary": (changed_file(f"{EDGE}.json", lambda c: b"\xff\xfe"), "not the facts of an engine"),
    "schema": (change_facts("schema", value=2), "not the facts of an engine"),
    "more": (change_facts("more", value=2), "not the facts of an engine"),
}


@pytest.mark.parametrize("what", STALE)
def test_a_stale_engine_is_rebuilt_or_refused(what: str, root: Path, builder: Builder) -> None:
    change, reason = STALE[what]
    build(root)
    builder.names()
    change(root)
    with pytest.raises(BuildError, match=f"{EDGE}.*{reason}.*nothing was built.*--no-rebuild"):
        build(root, rebuild=False)
    assert builder.names() == []
    build(root)
    assert builder.names() == [EDGE]
    build(root, rebuild=False)
    assert builder.names() == []
    assert not leftovers(root)


@pytest.mark.parametrize("suffix", [".engine", ".json"])
def test_half_a_pair_is_not_there(suffix: str, root: Path, builder: Builder) -> None:
    build(root)
    builder.names()
    place(root).with_suffix(suffix).unlink()
    assert EDGE in find_engines(Bundle.open(root), target(), {EDGE: "fp32"}).missing
    build(root, rebuild=False)  # it is missing, not stale
    assert builder.names() == [EDGE]


def test_a_new_engine_with_old_facts_is_not_taken(root: Path, builder: Builder) -> None:
    build(root)
    builder.names()
    place(root).write_bytes(b"killed between the two renames, and of another length")
    found = find_engines(Bundle.open(root), target(), {EDGE: "fp32"})
    assert "damaged" in found.missing[EDGE]
    build(root)
    assert builder.names() == [EDGE]


def test_what_a_killed_build_left_is_cleared_away(root: Path, builder: Builder) -> None:
    build(root)
    left = place(root).with_name(f".{EDGE}.engine.4711.tmp")
    left.write_bytes(b"half")
    build(root)
    assert not left.exists()


def test_a_failure_names_the_engine_and_keeps_the_others(root: Path, builder: Builder) -> None:
    failing = ENGINES[5]
    builder.fails[failing] = "no implementation for node X"
    with pytest.raises(BuildError, match=rf"{failing} \(fp32\): not built: no implementation"):
        build(root)
    assert builder.names() == list(ENGINES[:6])
    assert not leftovers(root)
    assert len(list(root.glob("trt/*/*/*.engine"))) == 5
    builder.fails.clear()
    build(root)
    assert builder.names() == list(ENGINES[5:])


def test_a_failed_rebuild_leaves_the_old_pair(root: Path, builder: Builder) -> None:
    build(root)
    old = place(root).read_bytes()
    builder.fails[EDGE] = "no"
    with pytest.raises(BuildError):
        build(root, opt_level=ENGINES.index(EDGE) % 2)
    assert place(root).read_bytes() == old
    assert not leftovers(root)


def test_a_full_disk_is_one_clear_error(
    root: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorrt, "store", full)
    with pytest.raises(BuildError, match=r"trt/orin.*: cannot be written: No space left"):
        build(root)
    assert not [path for path in leftovers(root) if path.suffix == ".tmp"]
    monkeypatch.undo()


def test_two_builds_do_not_meet(root: Path, builder: Builder) -> None:
    with (
        tensorrt._alone(root / "trt" / target().name),
        pytest.raises(BuildError, match="another `denet build` is at work"),
    ):
        build(root)
    build(root)


def test_where_files_cannot_be_locked_it_builds_all_the_same(
    root: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "fcntl", None)
    build(root)
    assert len(builder.names()) == 15


# What may be loaded


def test_engines_of_this_machine_are_found(root: Path, builder: Builder) -> None:
    build(root, batch=(1, 2, 4), opt_level=5)  # whatever the options
    found = find_engines(Bundle.open(root), target(), dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing
    assert list(found.engines) == list(ENGINES)
    assert found.engines[EDGE].path == place(root)
    assert found.engines[EDGE].read() == place(root).read_bytes()


def test_an_absent_engine_is_missing_with_what_to_do(root: Path, bundle: Bundle) -> None:
    found = find_engines(Bundle.open(root), target(), {EDGE: "fp32", CMFT: "fp16"})
    assert not found.engines
    assert "not built for this machine: run `denet build" in found.missing[EDGE]
    assert f"has no fp16 of {CMFT}" in found.missing[CMFT]


def test_an_engine_of_another_export_is_missing(root: Path, builder: Builder) -> None:
    build(root)
    change_source(root)
    found = find_engines(Bundle.open(root), target(), {EDGE: "fp32", CMFT: "fp32"})
    assert list(found.engines) == [CMFT]
    assert "another ONNX file: run `denet build" in found.missing[EDGE]


def test_a_foreign_engine_is_missing_and_says_whose_it_is(root: Path, builder: Builder) -> None:
    build(root)
    here = target(multiprocessors=8)
    found = find_engines(Bundle.open(root), here, {EDGE: "fp32"})
    assert "built for Orin (compute capability 8.7, 16 multi" in found.missing[EDGE]
    # Renaming the folder does not make it fit.
    (root / "trt" / target().name).rename(root / "trt" / here.name)
    found = find_engines(Bundle.open(root), here, {EDGE: "fp32"})
    assert "built for Orin (compute capability 8.7, 16 multi" in found.missing[EDGE]


def test_a_compatible_engine_is_found_elsewhere_unless_there_is_an_own_one(
    root: Path, builder: Builder, machine: Callable[..., None]
) -> None:
    machine(DESKTOP)
    made = build(root, hardware_compatible=True)
    found = find_engines(Bundle.open(root), A100, {EDGE: "fp32"})
    assert found.engines[EDGE].path == made.engines[EDGE].engine.path
    machine(A100)
    own = build(root).engines[EDGE].engine.path
    found = find_engines(Bundle.open(root), A100, {EDGE: "fp32"})
    assert found.engines[EDGE].path == own


def test_a_damaged_engine_is_refused_when_it_is_read(root: Path, builder: Builder) -> None:
    build(root)
    engine = find_engines(Bundle.open(root), target(), {EDGE: "fp32"}).engines[EDGE]
    content = engine.path.read_bytes()
    engine.path.write_bytes(content[:-1] + b"?")
    with pytest.raises(EngineFileError, match="damaged: its sha256"):
        engine.read()
    engine.path.unlink()
    with pytest.raises(EngineFileError, match="cannot be read: No such file"):
        engine.read()


# The process that builds, with a TensorRT that is played


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Processes started from here import the fake; calling it says what goes wrong."""
    monkeypatch.syspath_prepend(FAKE)

    def play(mode: str) -> None:
        monkeypatch.setenv("FAKE_TENSORRT", mode)

    play("")
    return play


def request_for(root: Path, tmp_path: Path, engine: str = EDGE, form: Form = "fp32") -> BuildRequest:
    spec = tensorrt._spec(Bundle.open(root), engine, form, target(), BuildOptions())
    return BuildRequest(
        bundle=str(root),
        spec=spec,
        output=str(tmp_path / "out.engine"),
        timing_cache=str(tmp_path / "timing.cache"),
    )


def test_a_process_builds_and_tells_how_far_it_is(
    bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    played("noise")  # on standard output, where the events are
    told: list[BuildProgress] = []
    built = process.run(request_for(bundle_path, tmp_path), told.append)
    content = (tmp_path / "out.engine").read_bytes()
    assert (built.bytes, built.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert built.layers.fp32 > 0
    assert built.layers.int8 == built.layers.fp16 == 0
    assert [p.done for p in told] == [0.125, 0.25, 0.375, 0.5, 1.0]
    assert {p.phase for p in told} == {"timing", "building"}


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("kill", "was killed; if memory is short.*--workspace"),
        ("abort", "TensorRT crashed .signal 6."),
        ("raise", "the process that built it failed: what nobody thought of"),
        ("none", "^Error Code 10: no implementation for node X; what follows from that$"),
        ("memory", "OutOfMemory; if memory is short.*--workspace"),
        ("no-builder", "TensorRT does not start: CUDA initialization failure"),
    ],
)
def test_a_process_that_fails_says_why(
    mode: str, reason: str, bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    played(mode)
    with pytest.raises(BuildError, match=reason):
        process.run(request_for(bundle_path, tmp_path), lambda _: None)


def test_a_process_that_does_not_start_says_why(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "BOOT", "raise SystemExit('no such module')")
    with pytest.raises(BuildError, match="the process that built it failed: no such module"):
        process.run(request_for(bundle_path, tmp_path), lambda _: None)


def test_a_damaged_onnx_file_is_found_by_the_process(
    root: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    request = request_for(root, tmp_path)
    path = root / "onnx" / "fp32" / f"{EDGE}.onnx"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(BuildError, match=f"{EDGE}.onnx: damaged"):
        process.run(request, lambda _: None)


def test_an_output_that_cannot_be_written_is_told(
    bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    request = msgspec.structs.replace(
        request_for(bundle_path, tmp_path), output=str(tmp_path / "no" / "such")
    )
    with pytest.raises(BuildError, match="cannot be written: No such file"):
        process.run(request, lambda _: None)


def test_the_process_ends_with_its_parent(
    bundle_path: Path, tmp_path: Path, played: Callable[[str], None]
) -> None:
    played("hang")
    worker = subprocess.Popen(
        [sys.executable, "-c", process.BOOT, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(msgspec.json.encode(request_for(bundle_path, tmp_path)) + b"\n")
    worker.stdin.flush()
    assert b"timing" in worker.stdout.readline()  # it is in the middle of it
    worker.stdin.close()  # as the system does when the parent is gone
    try:
        assert worker.wait(timeout=60) == 1
    finally:
        worker.kill()
        worker.stdout.close()


def test_an_interrupted_parent_takes_the_process_along(
    bundle_path: Path,
    tmp_path: Path,
    played: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played("hang")
    started: list[subprocess.Popen[bytes]] = []
    make = subprocess.Popen

    def noted(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(make(*args, **kwargs))
        return started[-1]

    def interrupt(_: BuildProgress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(KeyboardInterrupt):
        process.run(request_for(bundle_path, tmp_path), interrupt)
    assert started[0].poll() is not None


# What that process does, in this one


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules that use TensorRT, with the fake in its place."""
    spec = importlib.util.spec_from_file_location("tensorrt", FAKE / "tensorrt" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    modules = {name: f"export.tensorrt.{name}" for name in ("proof", "builder")}
    for name in modules.values():
        sys.modules.pop(name, None)
    try:
        found = {key: importlib.import_module(name) for key, name in modules.items()}
        yield SimpleNamespace(fake=fake, **found)
    finally:
        for name in modules.values():
            sys.modules.pop(name, None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", [BRANCH, CMFT, EDGE])
def test_the_precision_that_is_delivered_is_counted(
    engine: str, form: Form, outcome: Outcome, tmp_path: Path, worker: SimpleNamespace
) -> None:
    request = request_for(outcome.bundle.root, tmp_path, engine, form)
    layers = worker.builder.build(request, lambda _: None).layers
    products = (layers.int8, layers.fp16, layers.fp32)
    edge = engine == EDGE
    if form == "fp32":
        assert products[:2] == (0, 0)
    elif form == "fp16" or edge:
        assert (products[0], products[2]) == (0, 0)
    else:
        gates = {BRANCH: 1, CMFT: 0}[engine]
        model = onnx.load_from_string(outcome.bundle.read_engine(engine, form))
        convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
        assert layers.int8 == convolutions - gates > 0
    assert sum(products) > 0
    assert layers.all >= sum(products)


def with_forms(outcome: Outcome, tmp_path: Path, engine: str, form: Form, instead: Form) -> Path:
    """A bundle whose `form` of an engine is really `instead`, as a faulty quantizer makes it."""
    root = copied(outcome.bundle.root, tmp_path)
    files = msgspec.to_builtins(outcome.bundle.manifest.engines[engine].files)
    change_manifest(root, lambda m: m["engines"][engine]["files"].update({form: files[instead]}))
    return root


@pytest.mark.parametrize(
    ("engine", "form", "instead", "reason"),
    [
        (BRANCH, "fp16", "fp32", "fp16 was asked for, but 25 of 25 layers are not: .* is fp32"),
        (BRANCH, "fp32", "fp16", "fp32 was asked for, but .* is fp16"),
        (BRANCH, "int8-trt", "fp32", "int8 was asked for, but 20 of 20 layers are not: .* fp32"),
        (CMFT, "int8-trt", "fp16", "int8 was asked for, but 7 of 7 layers are not: .* is fp16"),
        (EDGE, "int8-trt", "fp32", "fp16 was asked for, but 7 of 7 layers are not"),
        (BRANCH, "fp32", "int8-trt", "fp32 was asked for, but 20 of .* is int8"),
    ],
)
def test_a_precision_that_is_not_delivered_is_an_error(
    engine: str,
    form: Form,
    instead: Form,
    reason: str,
    outcome: Outcome,
    tmp_path: Path,
    worker: SimpleNamespace,
) -> None:
    root = with_forms(outcome, tmp_path, engine, form, instead)
    with pytest.raises(BuildError, match=reason):
        worker.builder.build(request_for(root, tmp_path, engine, form), lambda _: None)
    assert not (tmp_path / "out.engine").exists()


def test_one_float_convolution_among_int8_ones_is_an_error(worker: SimpleNamespace) -> None:
    product, prove = worker.proof.Product, worker.proof.prove_precision
    good = [product("a", "int8", 64), product("gate", "fp32", 1), product("mlp", "fp32", None)]
    prove(BRANCH, "int8-trt", good)
    with pytest.raises(BuildError, match="1 of 2 layers are not: b is fp32"):
        prove(BRANCH, "int8-trt", [*good, product("b", "fp32", 64)])
    with pytest.raises(BuildError, match="no layer to be int8"):
        prove(BRANCH, "int8-trt", good[1:])
    with pytest.raises(BuildError, match="no layer to be fp32"):
        prove(BRANCH, "fp32", [])
    with pytest.raises(BuildError, match="a is bf16"):
        prove(BRANCH, "fp16", [product("a", "bf16", 64)])


def test_int8_weights_alone_are_not_int8(worker: SimpleNamespace) -> None:
    trt, proof = worker.fake, worker.proof

    def layer(kind: Any, name: str, inputs: list[Any], dtype: Any = trt.DataType.FLOAT) -> Any:
        output = SimpleNamespace(name=f"{name}_out", dtype=dtype, shape=(-1, 8, 4, 4))
        return SimpleNamespace(
            name=name,
            type=kind,
            num_inputs=len(inputs),
            num_outputs=1,
            get_input=inputs.__getitem__,
            get_output=lambda _: output,
        )

    def is_int8(*inputs: Any) -> bool:
        product = layer(trt.LayerType.CONVOLUTION, "conv", list(inputs))
        layers = [int8, other, float8, product]
        network = SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__)
        (found,) = proof.products(network)
        assert found.maps == 8
        return bool(found.type == "int8")

    quantized = SimpleNamespace(name="q", dtype=trt.DataType.INT8)
    int8 = layer(trt.LayerType.DEQUANTIZE, "int8", [quantized])
    float8 = layer(trt.LayerType.DEQUANTIZE, "fp8", [SimpleNamespace(name="q8", dtype="FP8")])
    other = layer(trt.LayerType.OTHER, "relu", [])
    x, w, f = int8.get_output(0), other.get_output(0), float8.get_output(0)
    image = SimpleNamespace(name="image", dtype=trt.DataType.FLOAT)
    assert is_int8(x, x)
    assert is_int8(x, x, w)  # a float bias
    for factors in ((x,), (x, None), (w, x), (x, w), (image, x), (f, x)):
        assert not is_int8(*factors)


@pytest.mark.parametrize(
    ("side", "field", "value", "reason"),
    [
        ("inputs", "name", "picture", "its inputs are image, which the manifest does not say"),
        ("outputs", "name", "pool", "its outputs are feature, pooled, which the manifest"),
        ("inputs", "shape", ["B", 3, 64, 31], r"image is FLOAT of shape \(-1, 3, 64, 32\)"),
        ("inputs", "shape", ["B", 3, 64], r"image is FLOAT .* float32 of \(B, 3, 64\)"),
        ("inputs", "shape", [1, 3, 64, 32], None),  # it takes more than the manifest says
    ],
)
def test_a_signature_that_is_not_the_manifests_is_refused(
    side: str,
    field: str,
    value: Any,
    reason: str | None,
    root: Path,
    tmp_path: Path,
    worker: SimpleNamespace,
) -> None:
    request = request_for(root, tmp_path, BRANCH)
    change_manifest(
        root, lambda manifest: manifest["engines"][BRANCH][side][0].update({field: value})
    )
    if reason is None:
        worker.builder.build(request, lambda _: None)
    else:
        with pytest.raises(BuildError, match=reason):
            worker.builder.build(request, lambda _: None)


def test_a_frozen_batch_is_refused(root: Path, tmp_path: Path, worker: SimpleNamespace) -> None:
    path = root / "onnx" / "fp32" / f"{CMFT}.onnx"
    model = onnx.load_model(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    replace_model(root, CMFT, model.SerializeToString())
    with pytest.raises(BuildError, match=r"feature is FLOAT of shape \(1, 512.*\(B, 512, 4, 2\)"):
        worker.builder.build(request_for(root, tmp_path, CMFT), lambda _: None)


def unsupported(root: Path, engine: str) -> None:
    """Puts an operator into an engine that TensorRT does not have."""
    model = onnx.load_model(root / "onnx" / "fp32" / f"{engine}.onnx")
    node = next(node for node in model.graph.node if node.op_type in ("Relu", "Add"))
    node.op_type = "Det"
    del node.input[1:]
    replace_model(root, engine, model.SerializeToString())


def test_what_the_parser_refuses_is_told_by_node(
    root: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    unsupported(root, CMFT)
    with pytest.raises(BuildError, match=r"^node node_relu \(Det\): unsupported node$"):
        worker.builder.build(request_for(root, tmp_path, CMFT), lambda _: None)
    replace_model(root, CMFT, b"no ONNX")
    with pytest.raises(BuildError, match=r"^model deserialize failed: cannot be parsed$"):
        worker.builder.build(request_for(root, tmp_path, CMFT), lambda _: None)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("weak", "no strongly typed network"),
        ("no-profile", "refuses the profile"),
        ("no-builder", "does not start: CUDA initialization failure with error: 35"),
        ("none", "^Error Code 10: no implementation for node X; what follows from that$"),
    ],
)
def test_a_tensorrt_that_refuses_says_why(
    mode: str, reason: str, bundle_path: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    worker.fake.MODE.append(mode)
    with pytest.raises(BuildError, match=reason):
        worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)
    assert not (tmp_path / "out.engine").exists()


def test_the_first_errors_and_the_last_are_told(worker: SimpleNamespace) -> None:
    log = worker.builder.Log()
    assert log.reason("nothing was said") == "nothing was said"
    for text in ("a", "a", "[file.cpp::function::12] Error Code 1:\n b", "c", "d"):
        log.log(worker.fake.ILogger.ERROR, text)
    log.log(worker.fake.ILogger.WARNING, "e")
    assert log.reason("") == "a; Error Code 1: b; d"


def test_a_silent_refusal_has_a_reason_too(
    bundle_path: Path, tmp_path: Path, worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.fake.Builder, "build_serialized_network", lambda *_: None)
    with pytest.raises(BuildError, match="does not say why"):
        worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)
    monkeypatch.setattr(worker.fake.OnnxParser, "parse", lambda *_: False)
    with pytest.raises(BuildError, match="cannot parse it"):
        worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)


def test_options_reach_the_builder(
    bundle_path: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    trt = worker.fake
    request = request_for(bundle_path, tmp_path)

    def config(**options: Any) -> Any:
        spec = msgspec.structs.replace(request.spec, options=BuildOptions(**options))
        worker.builder.build(msgspec.structs.replace(request, spec=spec), lambda _: None)
        return trt.Builder.last.config

    plain = config()
    assert plain.builder_optimization_level == 3
    assert plain.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert plain.flags == set()  # FP32 is FP32: TensorRT's default has TF32
    assert plain.pools == {}
    assert not hasattr(plain, "hardware_compatibility_level")
    assert plain.profiles[0].shapes == request.spec.profile
    full = config(
        opt_level=5, workspace=64, tf32=True, version_compatible=True, hardware_compatible=True
    )
    assert full.builder_optimization_level == 5
    assert full.flags == {trt.BuilderFlag.TF32, trt.BuilderFlag.VERSION_COMPATIBLE}
    assert full.pools == {trt.MemoryPoolType.WORKSPACE: 64 * 2**20}
    assert full.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS


def test_a_tensorrt_without_flags_needs_none(
    bundle_path: Path, tmp_path: Path, worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.fake, "NetworkDefinitionCreationFlag", SimpleNamespace())
    monkeypatch.setattr(worker.fake, "BuilderFlag", SimpleNamespace())
    monkeypatch.setattr(
        worker.fake.Builder, "create_network", lambda _, flags: worker.fake.Network()
    )
    monkeypatch.setattr(worker.fake.Config, "__init__", lambda self: vars(self).update(profiles=[]))
    monkeypatch.setattr(worker.fake.Config, "set_timing_cache", lambda *_: False)
    monkeypatch.setattr(worker.fake.Config, "get_timing_cache", lambda _: None)
    worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)
    assert not (tmp_path / "timing.cache").exists()


@pytest.mark.parametrize("known", [None, b"known", b"damaged", b"foreign"])
def test_the_timing_cache_is_used_and_renewed(
    known: bytes | None, bundle_path: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    request = request_for(bundle_path, tmp_path)
    cache = Path(request.timing_cache)
    if known is not None:
        cache.write_bytes(known)
    worker.builder.build(request, lambda _: None)
    assert cache.read_bytes() == (b"known+" if known == b"known" else b"+")


def test_phases_within_phases_make_one_number(worker: SimpleNamespace) -> None:
    told: list[BuildProgress] = []
    monitor = worker.builder.Monitor(told.append)
    monitor.phase_start("all", None, 2)
    monitor.phase_start("one", "all", 2)
    monitor.step_complete("one", 0)
    monitor.phase_start("inner", "one", 10)
    monitor.phase_start("empty", "inner", 0)
    for step in range(10):
        assert monitor.step_complete("inner", step)
    monitor.phase_finish("inner")
    monitor.step_complete("one", 1)
    monitor.phase_finish("one")
    monitor.step_complete("all", 0)
    monitor.step_complete("never begun", 7)
    monitor.phase_start("two", "all", 1000)
    monitor.step_complete("two", 0)  # too little to be told
    monitor.step_complete("two", 999)
    monitor.phase_finish("never begun")
    done = [p.done for p in told]
    assert done == sorted(done)
    assert done[0] == 0.25
    assert done[-1] == 1.0
    assert 0.275 in done
    assert 0.5 in done


# The command line


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_build_tells_what_it_built(root: Path, builder: Builder) -> None:
    result = denet("build", root)
    assert result.exit_code == 0, result.output
    for word in (*ENGINES, "3 / 2 / 1", "15 of them built now", "Orin", "16 multiprocessors"):
        assert word in result.output
    assert "up to date" not in result.output
    again = denet("build", root)
    assert again.output.count("up to date") == 15
    assert "0 of them built now" in again.output


def test_build_tells_a_program(root: Path, builder: Builder) -> None:
    result = denet("build", root, "--batch", "1:4:16", "--json")
    facts = json.loads(result.stdout)
    assert (facts["precision"], facts["target"]["gpu"]) == ("fp32", "Orin")
    assert list(facts["engines"]) == list(ENGINES)
    edge = facts["engines"][EDGE]
    assert edge["layers"] == {"all": 9, "int8": 3, "fp16": 2, "fp32": 1}
    assert edge["profile"]["sum"][2] == [2, 16, 512]
    assert (edge["form"], edge["built"]) == ("fp32", True)
    assert Path(edge["path"]).stat().st_size == edge["bytes"]


def test_build_says_that_engines_without_a_gpu_run_nowhere(
    root: Path, builder: Builder, machine: Callable[..., None]
) -> None:
    machine(NO_GPU)
    assert "no machine can run these engines" in denet("build", root).output


def test_build_says_that_the_default_is_for_others(
    outcome: Outcome, tmp_path: Path, builder: Builder
) -> None:
    root = copied(outcome.bundle.root, tmp_path)
    change_manifest(root, lambda manifest: manifest["mixed"].pop("trt"))
    assert "has its default, mixed, for other hardware only" in denet("build", root).output


def test_every_option_reaches_the_request(
    root: Path, builder: Builder, machine: Callable[..., None]
) -> None:
    machine(DESKTOP)
    options = ("--opt-level", 5, "--workspace", 64, "--tf32")
    result = denet("build", root, *options, "--version-compatible", "--hardware-compatible")
    assert result.exit_code == 0, result.output
    assert builder.requests[0].spec.options == BuildOptions(
        opt_level=5, workspace=64, tf32=True, version_compatible=True, hardware_compatible=True
    )


def test_build_refuses_a_stale_engine_on_request(root: Path, builder: Builder) -> None:
    assert denet("build", root).exit_code == 0
    refused(denet("build", root, "--opt-level", 4, "--no-rebuild"), "stale", "opt-level 3, not")
    assert len(builder.names()) == 15
    assert denet("build", root, "--opt-level", 4).exit_code == 0
    assert len(builder.names()) == 15


def test_bad_input_to_build_is_one_clear_line(
    root: Path, tmp_path: Path, machine: Callable[..., None]
) -> None:
    refused(denet("build", tmp_path / "none.denet"), "none.denet", "there is no such bundle")
    refused(denet("build", root, "--batch", "4"), "--batch 4: give MIN:OPT:MAX, such as 1:4:16")
    refused(denet("build", root, "--precision", "int8"), "has no int8 for TensorRT", "calibrate")
    refused(denet("build", root, "--precision", "int3"), "unknown precision 'int3'")
    refused(denet("build", root, "--hardware-compatible"), "not for a Jetson's")
    assert not (root / "trt").exists()


def test_without_tensorrt_both_commands_say_what_to_install(
    root: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    words = ("TensorRT is not installed", "JetPack", "pip install tensorrt")
    refused(denet("build", root), *words)
    to = tmp_path / "new.denet"
    refused(denet("export", checkpoint, "--out", to, "--trt"), *words)
    refused(denet("export", "no.safetensors", "--out", to, "--trt"), *words)  # nothing was begun
    assert not to.exists()
    assert not (root / "trt").exists()


def test_options_of_the_builder_need_trt(checkpoint: Path, tmp_path: Path) -> None:
    result = denet("export", checkpoint, "--out", tmp_path / "x.denet", "--batch", "1:4:16")
    refused(result, "the options of TensorRT's builder need --trt")


def test_export_with_trt_calibrates_for_tensorrt(machine: Callable[..., None]) -> None:
    assert tensorrt.calibration_target(None, "auto").endswith(",trt")
    assert tensorrt.calibration_target("vnni,trt", "int8") == "vnni,trt"
    assert tensorrt.calibration_target("vnni", "fp16") == "vnni"
    with pytest.raises(BuildError, match="--target vnni: add trt"):
        tensorrt.calibration_target("vnni", "int8")


BARE = """
import sys
for absent in ("torch", "torchvision", "onnx", "onnxscript", "safetensors", "lightning_fabric"):
    sys.modules[absent] = None  # importing it now raises ImportError
import export.tensorrt.build, export.tensorrt.report, export.tensorrt.process
assert not hasattr(export, "nothing")
import cli
cli.app(["build", sys.argv[1], "--json"])
"""


def test_building_needs_neither_torch_nor_onnx(root: Path, played: Callable[[str], None]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(FAKE)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [engine["built"] for engine in facts["engines"].values()] == [True] * 15
    assert facts["target"]["tensorrt"] == "10.3.0"


def test_the_package_gives_its_names_when_they_are_asked_for() -> None:
    import export
    import export.bundle

    assert export.export_bundle is export.bundle.export_bundle
    assert export.ExportError is export.bundle.ExportError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = export.nothing


# The API of TensorRT

CLASSES = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "flags": "NetworkDefinitionCreationFlag",
    "layer": "ILayer",
    "maker": "ILayer",
    "monitor": "IProgressMonitor",
    "network": "INetworkDefinition",
    "output": "ITensor",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "tensor": "ITensor",
    "factor": "ITensor",
    "cache": "ITimingCache",
    "cuda_engine": "ICudaEngine",
    "levels": "HardwareCompatibilityLevel",
    "parser_error": "ParserError",
}
"""What the variables of these names are, in the modules that use TensorRT."""

KEPT = {
    "_trt": "",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "_context": "IExecutionContext",
}
"""The same of what objects keep."""

RESULTS = {
    "get_layer": "ILayer",
    "get_input": "ITensor",
    "get_output": "ITensor",
    "get_error": "ParserError",
    "create_builder_config": "IBuilderConfig",
    "get_timing_cache": "ITimingCache",
}


def used(source: str) -> set[tuple[str, str]]:
    """(class, name) of each attribute of TensorRT that `source` uses; "" for the module."""

    def class_of(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return "" if node.id == "trt" else CLASSES.get(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return RESULTS.get(node.func.attr)
        if isinstance(node, ast.Attribute) and class_of(node.value) == "":
            return node.attr
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
            return KEPT.get(node.attr)
        return None

    return {
        (owner, node.attr)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and (owner := class_of(node.value)) is not None
    }


def lacking(names: set[tuple[str, str]], version: str) -> set[tuple[str, str]]:
    """Those of `names` that a release of TensorRT does not have."""
    api = json.loads((KIT / f"api-{version}.json").read_text())
    module = {"__version__", *api["classes"], *api["constants"], *api["functions"]}

    def members(owner: str) -> set[str]:
        kind = api["classes"].get(owner, {})
        sections = ("methods", "properties", "enum", "constants", "enums")
        return {"__init__"}.union(*(kind.get(section, ()) for section in sections))

    return {(o, name) for o, name in names if name not in (members(o) if o else module)}


@pytest.mark.skipif(not KIT.is_dir(), reason="the lists of TensorRT's API are not here")
@pytest.mark.parametrize("version", ["10.3", "11.4"])
def test_what_is_used_of_tensorrt_exists(version: str) -> None:
    folders = {
        "export": ("tensorrt", "trtbuild", "trtproof"),
        "runtime": ("trttarget", "backends/cuda"),
    }
    names: set[tuple[str, str]] = set()
    for folder, modules in folders.items():
        for module in modules:
            names |= used((ROOT / folder / f"{module}.py").read_text())
    assert len(names) > 50
    assert {("OnnxParser", "parse"), ("IBuilderConfig", "progress_monitor")} <= names
    assert {("Runtime", "deserialize_cuda_engine"), ("", "ILogger")} <= names
    assert {("ICudaEngine", "create_execution_context"), ("TensorIOMode", "INPUT")} <= names
    assert {("IExecutionContext", "execute_async_v3")} <= names
    assert {("ILayer", "get_input"), ("ParserError", "node_operator"), ("", "Builder")} <= names
    assert not lacking(names, version)
    overridden = {("ILogger", "log")} | {
        ("IProgressMonitor", name) for name in ("phase_start", "step_complete", "phase_finish")
    }
    assert not lacking(overridden, version)


@pytest.mark.skipif(not KIT.is_dir(), reason="the lists of TensorRT's API are not here")
def test_that_test_finds_what_is_in_one_release_only() -> None:
    names = used("config.int8_calibrator = trt.BuilderFlag.FP16; network.add_squeeze(trt.fp4)")
    assert len(names) == 5
    assert lacking(names, "11.4") == {
        ("IBuilderConfig", "int8_calibrator"),
        ("BuilderFlag", "FP16"),
    }
    assert lacking(names, "10.3") == {("INetworkDefinition", "add_squeeze"), ("", "fp4")}


# NVIDIA's parser and compiler


@pytest.fixture(scope="module")
def calibrated(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated bundle to build in."""
    return copied(outcome.bundle.root, tmp_path_factory.mktemp("built"))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines for which a process was started."""
    started: list[str] = []
    run = process.run

    def noted(request: BuildRequest, notify: Callable[[BuildProgress], None]) -> Built:
        started.append(f"{request.spec.engine} {request.spec.form}")
        return run(request, notify)

    monkeypatch.setattr(process, "run", noted)
    return started


@pytest.mark.tensorrt
@pytest.mark.parametrize("form", FORMS)
def test_all_engines_build_and_are_kept(form: Form, calibrated: Path, processes: list[str]) -> None:
    bundle = Bundle.open(calibrated)
    told: list[tuple[str, float, int]] = []
    made = build_engines(
        bundle, PRECISION[form], BuildOptions(), notify=lambda *facts: told.append(facts)
    )
    assert processes == [f"{name} {form}" for name in ENGINES]
    assert not leftovers(calibrated)
    for name, result in made.engines.items():
        facts = result.engine.facts
        assert b"trt" in result.engine.read()[:4]
        layers = facts.layers
        model = onnx.load_from_string(bundle.read_engine(name, form))
        convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
        if form == "fp32":
            assert layers.int8 == layers.fp16 == 0 < layers.fp32
        elif form == "fp16" or name.startswith("dem"):
            assert layers.int8 == layers.fp32 == 0 < layers.fp16
        else:
            assert layers.int8 == convolutions - name.startswith("branch") > 0
    assert (made.folder / "timing.cache").stat().st_size > 0
    # BuildProgress is told within engines, and never goes back.
    amounts = [done for _, done, _ in told]
    assert amounts == sorted(amounts)
    assert len({done for done in amounts if done % 1}) >= 15
    assert any("Building engine" in what for what, _, _ in told)

    processes.clear()
    again = build_engines(bundle, PRECISION[form], BuildOptions())
    assert processes == []  # 15 before
    assert not any(result.built for result in again.engines.values())


@pytest.mark.tensorrt
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", [BRANCH, CMFT, EDGE])
def test_a_network_is_what_the_manifest_says(engine: str, form: Form, outcome: Outcome) -> None:
    import tensorrt as trt

    entry = outcome.bundle.manifest.engines[engine]
    logger = trt.Logger(trt.Logger.ERROR)
    made = trt.Builder(logger)
    network = made.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(outcome.bundle.read_engine(engine, form))
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    for tensors, specs in ((inputs, entry.inputs), (outputs, entry.outputs)):
        found = {t.name: (t.dtype, tuple(t.shape)) for t in tensors}
        assert found == {
            s.name: (trt.float32, tuple(d if isinstance(d, int) else -1 for d in s.shape))
            for s in specs
        }
    profile = made.create_optimization_profile()
    for name, shapes in profile_of(entry, (1, 4, 16)).items():
        profile.set_shape(name, *shapes)
        assert [tuple(shape) for shape in profile.get_shape(name)] == list(shapes)
    assert made.create_builder_config().add_optimization_profile(profile) == 0


@pytest.mark.tensorrt
def test_what_nvidias_parser_refuses_is_one_clear_error(root: Path) -> None:
    unsupported(root, BRANCH)
    with pytest.raises(BuildError, match=rf"{BRANCH} \(fp32\): not built: node \w+ \(Det\): uns"):
        build(root)
    replace_model(root, BRANCH, b"no ONNX")
    with pytest.raises(BuildError, match=f"{BRANCH}.*Failed to parse the ONNX model"):
        build(root)
    assert not leftovers(root)
    assert not list(root.glob("trt/*/*/*"))


@pytest.mark.tensorrt
def test_a_graph_that_does_not_add_up_is_one_clear_error(root: Path) -> None:
    model = onnx.load_model(root / "onnx" / "fp32" / f"{BRANCH}.onnx")
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.input[0] = "no such tensor"
    replace_model(root, BRANCH, model.SerializeToString())
    with pytest.raises(BuildError, match=f"{BRANCH} .fp32.: not built: node .*{node.name}"):
        build(root)
    assert not leftovers(root)


@pytest.mark.tensorrt
def test_what_nvidias_builder_refuses_is_one_clear_error(root: Path) -> None:
    if getattr(load_tensorrt(), "__backend__", "") == "":
        pytest.skip("TensorRT itself has the library")
    with pytest.raises(BuildError, match=f"{BRANCH} .fp32.: not built: .*libnvinfer_lean"):
        build(root, version_compatible=True)
    assert not leftovers(root)


@pytest.mark.tensorrt
def test_build_runs_through_the_command_line(calibrated: Path, tmp_path: Path) -> None:
    root = copied(calibrated, tmp_path)
    shutil.rmtree(root / "trt", ignore_errors=True)
    result = denet("build", root, "--precision", "auto", "--batch", "1:2:8", "--opt-level", 1)
    assert result.exit_code == 0, result.output
    assert "TensorRT, mixed" in result.output
    assert "15 of them built now" in result.output
    facts = json.loads(denet("build", root, "--batch", "1:2:8", "--opt-level", 1, "--json").stdout)
    assert not any(engine["built"] for engine in facts["engines"].values())
    mixed = Bundle.open(root).manifest.mixed["trt"].engines
    assert {name: engine["form"] for name, engine in facts["engines"].items()} == mixed


@pytest.mark.tensorrt
def test_export_runs_through_to_engines(checkpoint: Path, tmp_path: Path) -> None:
    to = tmp_path / "new.denet"
    result = denet("export", checkpoint, "--out", to, "--trt", "--batch", "1:1:4")
    assert result.exit_code == 0, result.output
    assert "agrees with PyTorch" in result.output
    assert "15 of them built now" in result.output
    here = this_target(load_tensorrt())
    found = find_engines(Bundle.open(to), here, dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing
    assert all(e.facts.spec.options.batch == (1, 1, 4) for e in found.engines.values())


@pytest.mark.tensorrt
def test_a_build_that_is_killed_goes_on_where_it_stopped(root: Path, processes: list[str]) -> None:
    command = [sys.executable, "-c", "import cli; cli.app()", "build", str(root)]
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(root.glob("trt/*/fp32/*.json"))) < 3:
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()
    whole = {path.stem for path in root.glob("trt/*/fp32/*.json")}
    assert 3 <= len(whole) < 15
    build(root)
    # The engine may have been renamed without its facts; then it is built again.
    assert set(ENGINES) - whole == {name.split()[0] for name in processes}
    here = this_target(load_tensorrt())
    found = find_engines(Bundle.open(root), here, dict.fromkeys(ENGINES, "fp32"))
    assert len([engine.read() for engine in found.engines.values()]) == 15
    assert not leftovers(root)
