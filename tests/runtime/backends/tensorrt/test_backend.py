"""The TensorRT backend: what engines it takes, when it loads them, and what it frees."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR, Modality
from runtime import BackendError, Runtime
from runtime.backends.base import Trace
from runtime.backends.tensorrt.device import Tensor
from runtime.backends.tensorrt.files import EngineFileError, engine_path
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.composer import Composer
from tests.runtime.backends.tensorrt.machines import (
    HERE,
    MIXED,
    Machine,
    backend_of,
    composer_of,
    inputs,
    same,
    write_engines,
)
from tests.runtime.backends.tensorrt.queued import races
from tests.runtime.backends.tensorrt.recording import Context, Engine

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


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
