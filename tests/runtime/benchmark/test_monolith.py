"""A state beside one graph of all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from denet.checkpoint import save_checkpoint
from denet.graph import RGB_NIR_TIR
from denet.initialize import initial_model
from denet.model import DENet
from export.monolith import MonolithError, export_monoliths, monolith
from runtime import Bundle, Runtime
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.inputs import network_inputs
from runtime.benchmark.monolith import find_monoliths, monolith_costs
from tests.conftest import SMALL
from tests.runtime.benchmark.clock import Tick
from tests.runtime.benchmark.shared import RGB, TIR, quiet


@pytest.fixture(scope="module")
def graph(model: DENet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monoliths")
    (folder / "tir.onnx").write_bytes(monolith(model, TIR))
    return folder


def test_a_whole_graph_makes_what_the_engines_make(runtime: Runtime, graph: Path) -> None:
    found = find_monoliths(graph, RGB_NIR_TIR)
    assert list(found) == [TIR]
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 3, 0)
    costs = monolith_costs(runtime, found, samples, [1, 3], 10, Tick(0.5), quiet)["tir"]
    assert costs.min_cosine > 0.99999
    assert costs.bytes == (graph / "tir.onnx").stat().st_size
    assert costs.ratio[3].median == 1
    assert costs.composed[1].runs == 10
    assert list(costs.monolith) == [1, 3]


def test_a_graph_of_another_state_or_none_is_refused(
    runtime: Runtime, graph: Path, tmp_path: Path
) -> None:
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 1, 0)
    with pytest.raises(BenchmarkError, match=r"tir\.onnx: cannot be run"):
        monolith_costs(runtime, {RGB: graph / "tir.onnx"}, samples, [1], 1, Tick(1.0), quiet)
    with pytest.raises(BenchmarkError, match="no such folder"):
        find_monoliths(tmp_path / "none", RGB_NIR_TIR)
    with pytest.raises(BenchmarkError, match="holds no graph"):
        find_monoliths(tmp_path, RGB_NIR_TIR)


def test_a_graph_of_another_model_is_refused(runtime: Runtime, graph: Path, tmp_path: Path) -> None:
    model = onnx.load(graph / "tir.onnx")
    random = np.random.default_rng(0)
    for weights in model.graph.initializer:
        if len(weights.dims) == 4:
            other = random.standard_normal(tuple(weights.dims), dtype=np.float32)
            weights.raw_data = (0.05 * other).tobytes()
    onnx.save(model, tmp_path / "tir.onnx")
    samples = network_inputs(runtime.bundle.manifest.preprocessing, 1, 0)
    with pytest.raises(BenchmarkError, match="other embeddings than the bundle"):
        monolith_costs(
            runtime, find_monoliths(tmp_path, RGB_NIR_TIR), samples, [1], 1, Tick(1.0), quiet
        )


def test_graphs_of_another_checkpoint_are_not_exported(
    bundle: Bundle, model: DENet, tmp_path: Path
) -> None:
    model_path = tmp_path / "other.safetensors"
    save_checkpoint(initial_model(SMALL, seed=1, pretrained=False), model_path, replace=True)
    with pytest.raises(MonolithError, match="not the checkpoint"):
        export_monoliths(model_path, bundle, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]
