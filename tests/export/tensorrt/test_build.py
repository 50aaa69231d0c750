"""What is built and what is kept, with a process that is played."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from calibration import Outcome
from denet.temporary import LOCK, NEW
from export.tensorrt import keeping
from export.tensorrt.build import Build, build_engines, check_machine, choose_forms
from export.tensorrt.request import BuildError
from runtime import BackendError, Bundle
from runtime.backends.tensorrt.files import (
    Layers,
    facts_path,
    open_engine,
    profile_of,
)
from runtime.backends.tensorrt.machine import (
    BuildMachine,
    BuildOptions,
)
from tests.command import denet
from tests.conftest import copied
from tests.export.tensorrt.parts import (
    CMFT,
    DESKTOP,
    EDGE,
    ENGINES,
    FORMS,
    HARDWARE,
    MODULE,
    NO_GPU,
    PRECISION,
    VERSIONS,
    Builder,
    build,
    change_source,
    leftovers,
    place,
    target,
)
from tests.runtime.backends.tensorrt.machines import find_own
from tests.runtime.backends.tensorrt.test_backend import Machine


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
    here: BuildMachine,
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
    assert spec.machine == target()
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
    found = find_own(Bundle.open(root), target(), dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing


def test_an_engine_that_computes_something_else_is_not_kept(root: Path, builder: Builder) -> None:
    machine = Machine(Bundle.open(root))
    machine.instead = {EDGE: "dem_tir2nir"}
    bundle = Bundle.open(root)
    words = rf"{EDGE}.engine: was built, and does not compute.*cosine.*0.9999.*opt-level"
    with pytest.raises(BuildError, match=words):
        build_engines(bundle, "fp32", BuildOptions(), open_device=machine.open)
    found = find_own(bundle, target(), dict.fromkeys(ENGINES, "fp32"))
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
    assert EDGE in find_own(Bundle.open(root), target(), {EDGE: "fp32"}).missing
    build(root, rebuild=False)  # it is missing, not stale
    assert builder.names() == [EDGE]


def test_a_new_engine_with_old_facts_is_not_taken(root: Path, builder: Builder) -> None:
    build(root)
    builder.names()
    place(root).write_bytes(b"killed between the two renames, and of another length")
    found = find_own(Bundle.open(root), target(), {EDGE: "fp32"})
    assert "damaged" in found.missing[EDGE]
    build(root)
    assert builder.names() == [EDGE]


def test_what_a_killed_build_left_is_cleared_away(root: Path, builder: Builder) -> None:
    build(root)
    left = place(root).with_name(f".{EDGE}.engine.abcdefgh.tmp")
    left.mkdir()
    (left / LOCK).touch()
    (left / NEW).write_bytes(b"half")
    build(root)
    assert not left.exists()


def test_a_disk_without_room_is_found_before_an_engine_is_built(
    root: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 18))
    with pytest.raises(BuildError, match="cannot be written: there is room for 0 MB"):
        build(root)
    assert not builder.names()


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

    monkeypatch.setattr("export.tensorrt.facts.store", full)
    with pytest.raises(BuildError, match=r"trt/orin.*: cannot be written: No space left"):
        build(root)
    assert not [path for path in leftovers(root) if path.suffix == ".tmp"]
    monkeypatch.undo()


def test_two_builds_do_not_meet(root: Path, builder: Builder) -> None:
    with (
        keeping.alone(root / "trt" / target().name),
        pytest.raises(BuildError, match="another `denet build` is at work"),
    ):
        build(root)
    build(root)


def test_where_files_cannot_be_locked_it_builds_all_the_same(
    root: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "fcntl", None)
    build(root)
    assert len(builder.names()) == 15
