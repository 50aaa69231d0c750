"""The TensorRT backend on a device that records: everything that it decides, without a GPU."""

from __future__ import annotations

import gc
import hashlib
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

import runtime.backends.tensorrt.backend as tensorrt
import runtime.backends.tensorrt.machine
import runtime.backends.tensorrt.streams as streams
from denet.graph import RGB_NIR_TIR, Modality, State
from export.tensorrt.check import check_engines
from runtime import BackendError, Bundle, Runtime
from runtime.backends.base import DeviceLostError, Trace
from runtime.backends.tensorrt.device import CaptureError, DeviceError, Tensor
from runtime.backends.tensorrt.files import (
    BuildSpec,
    EngineFacts,
    EngineFileError,
    Layers,
    engine_path,
    facts_path,
    find_engines,
    profile_of,
)
from runtime.backends.tensorrt.machine import BuildMachine, BuildOptions
from runtime.backends.tensorrt.schedule import Placed, Schedule, Work, schedule
from runtime.bundle.forms import Forms
from runtime.composer import Composer
from tests.conftest import copied
from tests.recording import Context, Engine, RecordingDevice, Stream, races

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states

choosing = sys.modules["runtime.backends.choose"]
"""The module, whose name in its package is that of its function."""

HERE = BuildMachine(
    gpu="Orin",
    compute_capability=(8, 7),
    multiprocessors=16,
    integrated=True,
    platform="linux-aarch64",
    tensorrt="10.3.0",
    backend="TensorRT 10.3.0",
)

MIXED = [STATES[6], STATES[0], STATES[3], STATES[4], STATES[1], STATES[0], STATES[5], STATES[2]]

Inputs = list[dict[Modality, NDArray[np.float32]]]


def write_engines(bundle: Bundle, forms: Forms, options: BuildOptions) -> None:
    """Engine files whose content is only the names of the engine and its form."""
    for name, form in forms.items():
        path = engine_path(bundle.root, HERE, form, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = f"{name} {form}".encode()
        path.write_bytes(content)
        entry = bundle.manifest.engines[name]
        spec = BuildSpec(
            engine=name,
            form=form,
            source_sha256=entry.files[form].sha256,
            machine=HERE,
            profile=profile_of(entry, options.batch),
            options=options,
        )
        facts = EngineFacts(
            spec=spec,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            layers=Layers(all=1, int8=0, fp16=0, fp32=1),
            seconds=0.0,
            tools={},
        )
        facts_path(path).write_bytes(msgspec.json.encode(facts))


class Machine:
    """Devices as they are opened, and what the next ones are to be."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.devices: list[RecordingDevice] = []
        self.seed = 0
        self.options: dict[str, Any] = {}
        self.refuse: str | None = None
        self.instead: dict[str, str] = {}
        """Engines whose files have another one's network."""

    def open(self) -> RecordingDevice:
        if self.refuse:
            raise DeviceError(self.refuse)
        device = RecordingDevice(self._onnx, self.seed, **self.options)
        self.devices.append(device)
        return device

    def _onnx(self, content: bytes) -> bytes:
        name, form = content.decode().split()[:2]
        name = self.instead.get(name, name)
        return self.bundle.read_engine(name, form)  # type: ignore[arg-type]

    @property
    def device(self) -> RecordingDevice:
        return self.devices[-1]


@pytest.fixture
def root(bundle_path: Path, tmp_path: Path) -> Path:
    return copied(bundle_path, tmp_path)


@pytest.fixture
def machine(root: Path) -> Machine:
    bundle = Bundle.open(root)
    write_engines(bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions())
    return Machine(bundle)


def composer_of(machine: Machine) -> Composer:
    bundle = machine.bundle
    found = find_engines(bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    assert not found.missing
    backend = tensorrt.TensorRTBackend(found.engines, bundle.manifest.engines, machine.open)
    return Composer(backend, bundle.manifest)


@pytest.fixture
def composer(machine: Machine) -> Composer:
    return composer_of(machine)


def backend_of(composer: Composer) -> tensorrt.TensorRTBackend:
    assert isinstance(composer.backend, tensorrt.TensorRTBackend)
    return composer.backend


def inputs(states: Sequence[State], seed: int = 0) -> Inputs:
    random = np.random.default_rng(seed)
    return [
        {m: random.standard_normal((3, 64, 32)).astype(np.float32) for m in state.available}
        for state in states
    ]


def same(found: NDArray[np.float32], runtime: Runtime, samples: Inputs) -> None:
    expected = runtime.composer.run_tensors(samples)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def program_of(composer: Composer, state: State) -> streams.StreamProgram:
    """The program of one sample."""
    bound = composer._programs[state,]
    assert isinstance(bound.program, streams.StreamProgram)
    return bound.program


@pytest.mark.parametrize("states", [*([s] for s in STATES), [COMPLETE] * 3, MIXED], ids=str)
def test_any_order_that_the_streams_allow_gives_what_the_cpu_gives(
    machine: Machine, runtime: Runtime, states: list[State]
) -> None:
    """Queued, captured, and replayed, with other images each time."""
    for seed in range(2):
        machine.seed = seed
        composer = composer_of(machine)
        for turn in range(4):
            samples = inputs(states, seed=turn)
            same(composer.run_tensors(samples), runtime, samples)
        assert machine.device.launched == 2
        assert not machine.device.complaints
        composer.close()


@pytest.mark.parametrize("states", [*([s] for s in STATES), MIXED], ids=str)
def test_nothing_is_written_while_another_stream_may_use_it(
    machine: Machine, composer: Composer, states: list[State]
) -> None:
    captured: list[Any] = []
    end = machine.device.end_capture

    def ended(stream: Stream) -> Any:
        captured.append(end(stream))
        return captured[-1]

    machine.device.end_capture = ended  # type: ignore[method-assign]
    for turn in range(3):
        composer.run_tensors(inputs(states, seed=turn))
    assert len({op.stream for op in machine.device.ops}) > 1
    assert not races(machine.device.ops)
    assert len(captured) == 1
    assert not races(captured[0].ops)


def test_the_race_check_misses_no_wait(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait of a schedule left out in turn: each time it is seen."""
    kept: list[Schedule] = []

    def left_out(number: int) -> Callable[[Sequence[Work], int], Schedule]:
        def other(works: Sequence[Work], lanes: int) -> Schedule:
            found = schedule(works, lanes)
            kept.append(found)
            waits = [(i, w) for i, at in enumerate(found.placed) for w in at.waits]
            if number >= len(waits):
                return found
            missing, event = waits[number]
            placed = list(found.placed)
            at = placed[missing]
            placed[missing] = Placed(at.lane, tuple(w for w in at.waits if w != event))
            return Schedule(found.lanes, tuple(placed), found.signals, found.joins)

        return other

    total = None
    number = 0
    while total is None or number < total:
        monkeypatch.setattr(streams, "schedule", left_out(number))
        composer = composer_of(machine)
        composer.run_tensors(inputs([STATES[1], STATES[6]]))
        total = sum(len(at.waits) for at in kept[-1].placed)
        assert races(machine.device.ops), f"wait {number} is not missed"
        number += 1
    assert total > 5


def test_branches_run_at_once_and_what_follows_one_stays_beside_it(
    composer: Composer, machine: Machine
) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    lanes = {op.name: op.stream for op in machine.device.ops}
    assert len({id(lanes[f"branch_{m}"]) for m in COMPLETE.available}) == 3
    composer.run_tensors(inputs([RGB_NIR_TIR.parse("rgb")]))
    alone = {op.name: op.stream for op in machine.device.ops}
    assert alone["cmft_rgb2nir"] is alone["branch_rgb"] or (
        alone["cmft_rgb2tir"] is alone["branch_rgb"]
    )


def test_engines_of_one_stream_share_scratch_memory(composer: Composer, machine: Machine) -> None:
    composer.run_tensors(inputs(MIXED))
    backend = backend_of(composer)
    for lane in backend.lanes:
        mine = [op for op in machine.device.ops if op.stream is lane.stream]
        wants = [op.context.engine.scratch for op in mine if hasattr(op, "context")]
        assert lane.scratch is not None
        assert lane.scratch.size == max(wants)


def test_engines_without_scratch_memory_get_none(machine: Machine, runtime: Runtime) -> None:
    machine.options = {"scratch": lambda _: 0}
    composer = composer_of(machine)
    samples = inputs([COMPLETE])
    same(composer.run_tensors(samples), runtime, samples)
    assert all(lane.scratch is None for lane in backend_of(composer).lanes)


def test_a_graph_is_captured_anew_when_scratch_memory_has_moved(
    machine: Machine, runtime: Runtime
) -> None:
    machine.options = {"scratch": lambda name: 64 if "nir" not in name.partition("2")[0] else 4096}
    composer = composer_of(machine)
    rgb, both = [RGB_NIR_TIR.parse("rgb")], [RGB_NIR_TIR.parse("rgb+nir")]
    composer.run_tensors(inputs(rgb * 4))  # so that the tables need not grow later
    for _ in range(3):
        composer.run_tensors(inputs(rgb))
    first = program_of(composer, rgb[0])
    assert first.captured
    assert machine.device.launched == 1
    composer.run_tensors(inputs(both))  # its engines need more, on the first lane or the second
    age = backend_of(composer).scratch_age
    for turn in range(4):
        samples = inputs(rgb, seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert program_of(composer, rgb[0]) is first
    assert first.captured
    assert backend_of(composer).scratch_age == age
    assert machine.device.launched == 4
    assert not machine.device.complaints


def test_a_larger_batch_moves_the_tables_and_forgets_graphs(
    composer: Composer, machine: Machine, runtime: Runtime
) -> None:
    small = [COMPLETE]
    for _ in range(3):
        composer.run_tensors(inputs(small))
    composer.run_tensors(inputs([COMPLETE] * 4))
    for turn in range(3):
        samples = inputs(small, seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert not machine.device.complaints


def test_the_graphs_used_last_are_kept(
    composer: Composer, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "GRAPHS", 2)
    programs = {}
    for state in STATES[:3]:
        for _ in range(2):
            composer.run_tensors(inputs([state]))
        programs[state] = program_of(composer, state)
    assert [programs[s].captured for s in STATES[:3]] == [False, True, True]
    composer.run_tensors(inputs([STATES[1]]))  # used again, so the other one goes next
    for _ in range(2):
        composer.run_tensors(inputs([STATES[0]]))
    assert [programs[s].captured for s in STATES[:3]] == [True, True, False]
    assert not machine.device.complaints


def test_without_graphs_everything_is_queued(machine: Machine, runtime: Runtime) -> None:
    machine.options = {"captures": False}
    composer = composer_of(machine)
    for turn in range(3):
        samples = inputs([COMPLETE], seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert machine.device.launched == 0


@pytest.mark.parametrize("call", ["begin_capture", "end_capture", "branch_nir"])
def test_what_cannot_be_captured_is_queued(
    composer: Composer, machine: Machine, runtime: Runtime, call: str
) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    capturing = False

    def fail(what: str) -> None:
        nonlocal capturing
        capturing = capturing or what == "begin_capture"
        if capturing and what == call:
            capturing = False
            raise CaptureError("not this one") if "capture" in call else DeviceError("not this one")

    machine.device.fail = fail
    for turn in range(3):
        samples = inputs([COMPLETE], seed=turn)
        same(composer.run_tensors(samples), runtime, samples)
    assert program_of(composer, COMPLETE).not_captured == "not this one"
    assert machine.device.launched == 0


def test_shapes_outside_of_the_profile_are_refused(machine: Machine) -> None:
    write_engines(machine.bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions(batch=(2, 2, 4)))
    composer = composer_of(machine)
    assert composer.backend.largest_batch == 4
    composer.run_tensors(inputs([COMPLETE] * 2))
    for count in (1, 5):
        with pytest.raises(
            BackendError, match=rf"branch_rgb.*2x3x64x32 to 4x3x64x32, not {count}x"
        ):
            composer.run_tensors(inputs([COMPLETE] * count))
    composer.run_tensors(inputs([COMPLETE] * 3))


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["queued", "captured", "replayed"])
def test_after_any_error_the_next_batch_is_right(
    machine: Machine, runtime: Runtime, turn: int
) -> None:
    """The device fails at each of its calls in turn."""
    state = [RGB_NIR_TIR.parse("rgb+tir")]
    calls = 0
    failed = True
    while failed:
        composer = composer_of(machine)
        for _ in range(turn):
            composer.run_tensors(inputs(state))
        left = calls

        def fail(what: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise DeviceError(f"CUDA: {what} failed")

        machine.device.fail = fail
        try:
            composer.run_tensors(inputs(state))
            failed = left < 0  # a capture that failed is no error
        except DeviceLostError:
            pytest.fail("the device works")
        except BackendError:
            pass
        machine.device.fail = lambda what: None
        for seed in range(3):
            samples = inputs(state, seed=seed)
            same(composer.run_tensors(samples), runtime, samples)
        assert not machine.device.complaints
        assert not races(machine.device.ops)
        composer.close()
        calls += 3  # every third: they are alike, and there are many
    assert calls > (3 if turn == 2 else 30)


@pytest.mark.parametrize("turn", [0, 1, 2], ids=["queued", "captured", "replayed"])
def test_a_lost_device_is_opened_again(
    machine: Machine, runtime: Runtime, composer: Composer, turn: int
) -> None:
    for _ in range(turn):
        composer.run_tensors(inputs([COMPLETE]))
    lost = machine.device

    def fail(what: str) -> None:
        if what == "synchronize":
            lost.dead = True
            raise DeviceError("CUDA: an illegal memory access was encountered")

    lost.fail = fail
    with pytest.raises(DeviceLostError, match=r"illegal memory.*set up again.*is lost"):
        composer.run_tensors(inputs([COMPLETE]))
    assert lost.closed
    for seed in range(3):
        samples = inputs([COMPLETE], seed=seed)
        same(composer.run_tensors(samples), runtime, samples)
    assert machine.devices == [lost, machine.device]
    assert machine.device.launched == 1
    assert not machine.device.complaints


@pytest.mark.parametrize("where", ["allocate", "pinned", "load", "event"])
def test_a_device_lost_while_a_program_is_made_is_opened_again(
    machine: Machine, runtime: Runtime, composer: Composer, where: str
) -> None:
    composer.run_tensors(inputs([RGB_NIR_TIR.parse("rgb")]))
    lost = machine.device

    def fail(what: str) -> None:
        if what == where:
            lost.dead = True
            raise DeviceError("CUDA: an illegal memory access was encountered")

    lost.fail = fail
    with pytest.raises(DeviceLostError, match="set up again"):
        composer.run_tensors(inputs([COMPLETE]))
    samples = inputs([COMPLETE])
    same(composer.run_tensors(samples), runtime, samples)
    assert not machine.device.complaints


def test_a_device_that_cannot_be_opened_again_is_said_to_be_lost(
    machine: Machine, composer: Composer
) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    machine.device.dead = True
    machine.refuse = "CUDA: no device"
    for _ in range(2):
        with pytest.raises(DeviceLostError, match=r"illegal memory.*restart"):
            composer.run_tensors(inputs([COMPLETE]))
    composer.close()
    assert len(machine.devices) == 1


def test_an_error_while_tables_grow_leaves_the_old_ones_usable(
    machine: Machine, composer: Composer, runtime: Runtime
) -> None:
    composer.run_tensors(inputs([COMPLETE]))

    def full(what: str) -> None:
        if what == "allocate":
            raise DeviceError("CUDA: out of device memory")

    machine.device.fail = full
    with pytest.raises(BackendError, match="out of device memory"):
        composer.run_tensors(inputs([COMPLETE] * 4))
    machine.device.fail = lambda what: None
    samples = inputs([COMPLETE])
    same(composer.run_tensors(samples), runtime, samples)
    assert not machine.device.complaints


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {**t, "more": Tensor(True, "float32", (1,))},
        lambda t: {k: v for k, v in t.items() if k != "pooled"},
        lambda t: {**t, "image": Tensor(True, "float16", t["image"].shape)},
        lambda t: {**t, "image": Tensor(True, "float32", (-1, 3, 64, 64))},
        lambda t: {**t, "image": Tensor(True, "float32", (-1, 3, 64))},
        lambda t: {**t, "pooled": Tensor(True, "float32", t["pooled"].shape)},
    ],
)
def test_an_engine_with_other_tensors_is_refused(
    composer: Composer, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    made = Engine.__init__

    def changed(engine: Engine, *arguments: Any) -> None:
        made(engine, *arguments)
        engine.tensors = change(engine.tensors)

    monkeypatch.setattr(Engine, "__init__", changed)
    with pytest.raises(BackendError, match=r"branch_rgb.engine: its tensors.*build it again"):
        composer.load([RGB_NIR_TIR.parse("rgb")])


def test_a_damaged_engine_is_never_loaded(composer: Composer, machine: Machine, root: Path) -> None:
    path = engine_path(root, HERE, "fp32", "cmft_rgb2nir")
    path.write_bytes(b"cmft_nir2rgb fp32")
    with pytest.raises(EngineFileError, match=r"cmft_rgb2nir.engine.*damaged"):
        composer.run_tensors(inputs([RGB_NIR_TIR.parse("rgb")]))


@pytest.mark.parametrize("compatible", [False, True])
def test_code_inside_an_engine_runs_only_where_it_was_built_to_have_some(
    machine: Machine, compatible: bool
) -> None:
    options = BuildOptions(version_compatible=compatible)
    write_engines(machine.bundle, dict.fromkeys(ENGINES, "fp32"), options)
    composer_of(machine).load(STATES)
    assert machine.device.host_code == [compatible] * 15


def test_engines_are_loaded_once_and_when_they_are_needed(
    composer: Composer, machine: Machine
) -> None:
    assert machine.device.host_code == []
    composer.load([RGB_NIR_TIR.parse("tir")])
    composer.run_tensors(inputs([RGB_NIR_TIR.parse("tir")]))
    composer.load([RGB_NIR_TIR.parse("tir")])
    assert len(machine.device.host_code) == len(RGB_NIR_TIR.plan(RGB_NIR_TIR.parse("tir")).engines)


def test_a_trace_tells_when_each_part_ran_on_which_stream(
    composer: Composer, machine: Machine, runtime: Runtime
) -> None:
    samples = inputs(MIXED)

    def fill(sample: int, modality: Modality, out: NDArray[np.float32]) -> None:
        np.copyto(out, samples[sample][modality])

    trace: Trace = composer.trace(MIXED, fill)
    names = [span.name for span in trace.spans if span.kind == "engine"]
    assert names == [e for e in ENGINES if any(e in RGB_NIR_TIR.plan(s).engines for s in MIXED)]
    assert [span.kind for span in trace.spans[:3]] == ["upload"] * 3
    assert trace.spans[-1].kind == "download"
    assert {span.lane for span in trace.spans} == {0, 1, 2}
    assert all(0 <= span.start <= span.stop for span in trace.spans)
    assert trace.enqueued is not None
    assert 0 < trace.enqueued <= trace.seconds
    assert not races(machine.device.ops)
    same(composer.run_tensors(samples), runtime, samples)


def test_one_engine_runs_on_its_own(composer: Composer, runtime: Runtime) -> None:
    random = np.random.default_rng(0)
    for engine, shapes in {
        "branch_nir": {"image": (2, 3, 64, 32)},
        "dem_rgb2nir": {"feature": (3, 512, 4, 2), "base": (2, 3, 512), "sum": (2, 3, 512)},
    }.items():
        given = {n: random.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        expected = runtime.composer.run_engine(engine, given)
        for name, found in composer.run_engine(engine, given).items():
            np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-4)


def test_what_another_thread_lets_go_is_freed_inside_the_context(
    composer: Composer, machine: Machine
) -> None:
    for _ in range(3):
        composer.run_tensors(inputs([COMPLETE]))
    used = backend_of(composer).device_memory()
    assert used

    def let_go() -> None:
        composer._forget()
        gc.collect()

    thread = threading.Thread(target=let_go)
    thread.start()
    thread.join()
    left = backend_of(composer).device_memory()
    assert left is not None
    assert left < used
    assert not machine.device.complaints


def test_closing_frees_everything(composer: Composer, machine: Machine) -> None:
    for states in ([COMPLETE], MIXED, [COMPLETE]):
        for _ in range(3):
            composer.run_tensors(inputs(states))
    composer.close()
    gc.collect()
    assert machine.device.memory == {}
    assert machine.device.closed
    assert not machine.device.complaints
    composer.close()
    with pytest.raises(BackendError, match="closed"):
        composer.run_tensors(inputs([COMPLETE]))


def test_closing_a_broken_device_is_no_error(composer: Composer, machine: Machine) -> None:
    composer.run_tensors(inputs([COMPLETE]))
    machine.device.dead = True
    machine.refuse = "CUDA: no device"
    composer.close()


@pytest.fixture
def gpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """This machine has the GPU that the engines were built for."""
    monkeypatch.setattr(choosing, "nvidia_gpu_present", lambda: True)
    monkeypatch.setattr(choosing, "_cuda_device", lambda context: machine.open())
    monkeypatch.setattr(runtime.backends.tensorrt.machine, "load_tensorrt", lambda: None)
    monkeypatch.setattr(runtime.backends.tensorrt.machine, "this_machine", lambda _: HERE)
    return machine


def test_auto_takes_tensorrt_where_the_engines_are_built(
    gpu: Machine, root: Path, runtime: Runtime
) -> None:
    with Runtime.load(root, check=True) as loaded:
        assert (loaded.backend, loaded.variant) == ("tensorrt", "fp32")
        assert "an NVIDIA GPU was found" in loaded.reason
        samples = inputs(MIXED)
        same(loaded.composer.run_tensors(samples), runtime, samples)
    assert not gpu.device.complaints


def test_a_runtime_cuts_batches_to_what_the_engines_take(gpu: Machine, root: Path) -> None:
    write_engines(gpu.bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions(batch=(1, 1, 3)))
    with Runtime.load(root, "tensorrt") as loaded:
        assert loaded.max_batch == 3
        image = np.zeros((64, 32, 3), np.uint8)
        assert loaded.embed_batch([{"rgb": image}] * 7).shape == (7, loaded.dim)
    with Runtime.load(root, "tensorrt", max_batch=2) as loaded:
        assert loaded.max_batch == 2


def test_auto_goes_on_to_what_can_run_and_says_why(gpu: Machine, root: Path) -> None:
    engine_path(root, HERE, "fp32", "dem_tir2nir").unlink()
    with Runtime.load(root) as loaded:
        assert loaded.backend == "ort-cpu"
        assert "dem_tir2nir" in loaded.reason
        assert "denet build" in loaded.reason
        assert "not ort-cuda" in loaded.reason
    with pytest.raises(BackendError, match=r"dem_tir2nir: .*not built.*denet build"):
        Runtime.load(root, "tensorrt")


def test_stale_engines_are_refused_with_the_reason(
    gpu: Machine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = msgspec.structs.replace(HERE, tensorrt="10.7.0", backend="TensorRT 10.7.0")
    monkeypatch.setattr(runtime.backends.tensorrt.machine, "this_machine", lambda _: later)
    with pytest.raises(BackendError, match=r"branch_rgb: .*15 such engines.*denet build"):
        Runtime.load(root, "tensorrt")


def test_a_bundle_without_engines_needs_no_tensorrt_to_say_so(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=r"no TensorRT engine was built.*denet build"):
        Runtime.load(bundle_path, "tensorrt")


def test_a_precision_that_is_not_built_is_not_replaced(gpu: Machine, root: Path) -> None:
    with pytest.raises(BackendError, match="'int8'"):
        Runtime.load(root, "tensorrt", "int8")


def test_a_context_is_its_engines(composer: Composer, machine: Machine) -> None:
    """Outside of graphs an engine has one context; each graph has its own."""
    composer.run_tensors(inputs([COMPLETE]))
    composer.run_tensors(inputs([COMPLETE] * 2))
    plain = {id(op.context) for op in machine.device.ops if hasattr(op, "context")}
    assert len(plain) == len(RGB_NIR_TIR.plan(COMPLETE).engines)
    for _ in range(2):
        composer.run_tensors(inputs([COMPLETE] * 2))
    contexts = {op.context for op in machine.device.ops if hasattr(op, "context")}
    assert all(isinstance(context, Context) for context in contexts)
    assert len(contexts) == 2 * len(RGB_NIR_TIR.plan(COMPLETE).engines)


def test_every_engine_is_compared_with_its_onnx_file(machine: Machine) -> None:
    found = find_engines(machine.bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    told: list[str] = []
    checked = check_engines(machine.bundle, found.engines, machine.open, told.append)
    assert set(checked) == set(told) == set(ENGINES)
    assert all(each.good and each.cosine > 0.999999 for each in checked.values())
    assert machine.device.closed
    assert not machine.device.complaints


@pytest.mark.parametrize(
    ("engine", "instead"),
    [
        ("branch_tir", "branch_nir"),
        ("cmft_tir2nir", "cmft_tir2rgb"),
        ("dem_nir2rgb", "dem_tir2rgb"),
    ],
)
def test_an_engine_that_computes_something_else_is_found(
    machine: Machine, engine: str, instead: str
) -> None:
    machine.instead = {engine: instead}
    found = find_engines(machine.bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    checked = check_engines(machine.bundle, found.engines, machine.open)
    assert [name for name, each in checked.items() if not each.good] == [engine]


@pytest.mark.parametrize("batch", [(1, 1, 1), (3, 4, 4)])
def test_engines_are_compared_in_a_batch_that_they_take(
    machine: Machine, batch: tuple[int, int, int]
) -> None:
    write_engines(machine.bundle, dict.fromkeys(ENGINES, "fp32"), BuildOptions(batch=batch))
    found = find_engines(machine.bundle, HERE, dict.fromkeys(ENGINES, "fp32"))
    checked = check_engines(machine.bundle, found.engines, machine.open)
    assert all(each.good for each in checked.values())
