"""What ONNX Runtime notes of layers, read."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Bundle, Runtime
from runtime.backends.base import BackendError, LayerRun
from runtime.backends.onnxruntime.layers import read_layers

TIR = RGB_NIR_TIR.parse("tir")


def test_the_layers_of_a_run_stand_before_it_in_the_file(tmp_path: Path) -> None:
    def node(name: str, at: int, took: int) -> dict[str, object]:
        return {"name": f"{name}_kernel_time", "ts": at, "dur": took, "args": {"op_name": "Conv"}}

    def run(at: int) -> dict[str, object]:
        return {"name": "model_run", "ts": at, "dur": 50, "args": {}}

    events = [
        {"name": "session_initialization", "ts": 0, "dur": 9, "args": {}},
        node("b", 130, 10),
        node("a", 105, 20),
        {"name": "SequentialExecutor::Execute", "ts": 102, "dur": 40, "args": {}},
        run(100),
        node("a", 205, 30),
        run(200),
    ]
    path = tmp_path / "notes.json"
    path.write_text(json.dumps(events))
    first, second = read_layers(path)
    assert first == (LayerRun("a", "Conv", 5e-6, 2e-5), LayerRun("b", "Conv", 3e-5, 1e-5))
    assert second == (LayerRun("a", "Conv", 5e-6, 3e-5),)


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"ts": 1}]', '[{"name": 1}]', "["])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.json"
    path.write_text(content)
    with pytest.raises(BackendError, match=r"notes\.json"):
        read_layers(path)


def test_every_engine_of_a_state_tells_its_layers_and_computes_the_same(
    bundle: Bundle, runtime: Runtime
) -> None:
    sample = {"tir": np.random.default_rng(0).standard_normal((3, 64, 32)).astype(np.float32)}
    with Runtime.load(bundle, "ort-cpu") as observed:
        backend = observed.composer.backend
        backend.observe_layers()
        for _ in range(2):
            found = observed.composer.run_tensors([sample])
        layers = backend.observed_layers()
        notes = Path(backend._notes.name) if backend._notes else None  # type: ignore[attr-defined]
    assert notes is None  # its files are gone
    np.testing.assert_array_equal(found, runtime.composer.run_tensors([sample]))
    assert layers.keys() == set(RGB_NIR_TIR.plan(TIR).engines)
    for runs in layers.values():
        assert len(runs) == 2
        assert [layer[:2] for layer in runs[0]] == [layer[:2] for layer in runs[1]]
        for run in runs:
            for layer, after in pairwise(run):
                assert 0 <= layer.start <= layer.start + layer.seconds <= after.start + 2e-6
    assert any("Conv" in layer.operator for layer in layers["branch_tir"][0])
