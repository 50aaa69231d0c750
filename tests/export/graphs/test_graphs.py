"""Graphs of whole states: what they compute, and what is written beside them."""

from __future__ import annotations

import configparser
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from calibration import Outcome
from calibration.replay import Replay, ReplayEngines
from denet.config import ModelConfig
from denet.graph import RGB_NIR_TIR, State
from denet.initialize import initial_model
from denet.model import DENet
from export import export_bundle
from export.graphs.compose import state_graph
from export.graphs.configs import deepstream_config, model_name
from export.graphs.errors import GraphsError
from export.graphs.names import EMBEDDING
from export.graphs.write import GRAPHS, choose_variant, write_graphs
from export.tensorrt.build import check_machine
from export.tensorrt.graphs import GraphBuild
from export.tensorrt.request import BuildError
from runtime import Bundle, Runtime
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.bundle.forms import Forms, Precision
from runtime.bundle.writing import store
from runtime.head import Head
from runtime.preprocess import Preprocessor
from tests.command import denet, refused
from tests.conftest import TINY, copied

STATES = RGB_NIR_TIR.states

Images = dict[str, NDArray[np.uint8]]


def drawn(bundle: Bundle, count: int = 3) -> list[Images]:
    """Samples of the size that the network takes, so that nothing is resized."""
    random, size = np.random.default_rng(0), bundle.manifest.preprocessing
    shape = (size.height, size.width, 3)
    return [
        {m: random.integers(0, 256, shape, np.uint8) for m in bundle.graph.modalities}
        for _ in range(count)
    ]


def embedded(
    bundle: Bundle, state: State, forms: Forms, samples: list[Images], *, literal: bool = False
) -> NDArray[np.float32]:
    """What a graph makes of pixels: all that a program in another language would do."""
    session = open_session(state_graph(bundle, state, forms), CPU, "x", literal=literal)
    feed = {
        m: np.stack([each[m].transpose(2, 0, 1) for each in samples]).astype(np.float32)
        for m in state.available
    }
    (found,) = session.run([EMBEDDING], feed)
    embeddings: NDArray[np.float32] = found
    return embeddings


def close(found: NDArray[np.float32], expected: NDArray[np.float32], error: float) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=error)


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_graph_embeds_as_the_composed_runtime(runtime: Runtime, state: State) -> None:
    samples = drawn(runtime.bundle)
    expected = runtime.embed_batch([{m: each[m] for m in state.available} for each in samples])
    close(embedded(runtime.bundle, state, runtime.forms, samples), expected, 1e-6)
    one = embedded(runtime.bundle, state, runtime.forms, samples[:1])
    close(one, expected[:1], 1e-6)


@pytest.mark.parametrize("name", ["fp16", "int8-avx2", "int8-trt", "mixed-avx2"])
def test_so_it_does_in_every_precision(outcome: Outcome, name: str) -> None:
    bundle = outcome.bundle
    precision, _, platform = name.partition("-")
    forms = bundle.manifest.forms(precision, platform or None)  # type: ignore[arg-type]
    assert forms is not None
    samples = drawn(bundle)
    for state in (STATES[0], STATES[2], STATES[6]):
        found = embedded(bundle, state, forms, samples, literal=platform == "trt")
        close(found, replayed(bundle, state, forms, samples), 2e-4)


def replayed(
    bundle: Bundle, state: State, forms: Forms, samples: list[Images]
) -> NDArray[np.float32]:
    """Engine by engine, what is made for TensorRT step by step in float."""
    preprocess = Preprocessor(bundle.manifest.preprocessing)
    images = {
        m: np.stack([preprocess(each[m], m) for each in samples]) for m in bundle.graph.modalities
    }
    replay = Replay(ReplayEngines(bundle.graph, bundle.read_engine, Pool.threads), images)
    parts = [part for _, part in replay.parts(state, forms)]
    return Head(bundle)(np.stack(parts, axis=1))


def test_a_head_with_a_neck_and_a_projection_is_inside(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, wide = np.random.default_rng(1), bundle.graph.parts * bundle.manifest.channels
    held = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in {
            "scale": (wide,), "shift": (wide,), "mean": (wide,), "matrix": (wide, 16),
        }.items()
    }  # fmt: skip
    held["mean"] /= np.float32(np.sqrt(wide))
    head = msgspec.structs.replace(bundle.manifest.head, dim=16)
    monkeypatch.setattr(bundle, "manifest", msgspec.structs.replace(bundle.manifest, head=head))
    for module in ("runtime.head", "export.graphs.compose"):
        monkeypatch.setattr(f"{module}.read_head", lambda _: held)
    state = RGB_NIR_TIR.parse("rgb+tir")
    forms = dict.fromkeys(bundle.graph.engines, "fp32")
    samples = drawn(bundle)
    expected = replayed(bundle, state, forms, samples)  # type: ignore[arg-type]
    assert expected.shape == (3, 16)
    close(embedded(bundle, state, forms, samples), expected, 1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "modalities", [pytest.param(("rgb", "tir"), marks=pytest.mark.slow), ("tir",)]
)
def test_models_of_fewer_modalities(modalities: tuple[str, ...], tmp_path: Path) -> None:
    config: ModelConfig = msgspec.structs.replace(TINY, modalities=modalities)
    model: DENet = initial_model(config, seed=0, pretrained=False)
    root = tmp_path / "m.denet"
    export_bundle(model, root, checkpoint_sha256="0" * 64)
    runtime = Runtime.load(root, "ort-cpu")
    samples = drawn(runtime.bundle, 2)
    made = write_graphs(runtime.bundle, tmp_path / "graphs", "fp32", runtime.forms)
    assert list(made.graphs) == [state.name for state in runtime.graph.states]
    for state in runtime.graph.states:
        expected = runtime.embed_batch([{m: each[m] for m in state.available} for each in samples])
        close(embedded(runtime.bundle, state, runtime.forms, samples), expected, 1e-6)


def test_a_folder_has_all_that_others_need(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    done = denet("export", bundle.root, "--monolithic", "--out", folder)
    assert done.exit_code == 0, done.output
    assert "7 graphs in fp32" in done.output
    facts = json.loads((folder / GRAPHS).read_bytes())
    assert facts["checkpoint_sha256"] == bundle.manifest.checkpoint_sha256
    assert facts["preprocessing"]["height"] == 64
    for state in STATES:
        mine = facts["graphs"][state.name]
        content = (folder / mine["file"]["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == mine["file"]["sha256"]
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        signature = {
            each.name: [d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim]
            for each in (*model.graph.input, *model.graph.output)
        }
        assert signature == {
            **{m: ["batch", 3, 64, 32] for m in state.available},
            "embedding": ["batch", bundle.manifest.head.dim],
        }  # fmt: skip
        assert [i["name"] for i in mine["inputs"]] == list(state.available)
        triton = folder / "triton" / model_name(state)
        assert (triton / "1" / "model.onnx").read_bytes() == content
        check_triton(triton / "config.pbtxt", state, signature)
    assert sorted(p.name for p in (folder / "deepstream").iterdir()) == [
        "nir.txt", "rgb.txt", "tir.txt",
    ]  # fmt: skip
    refused(denet("export", bundle.root, "--monolithic", "--out", folder), "--force")
    assert denet("export", bundle.root, "--monolithic", "--out", folder, "--force").exit_code == 0
    (folder / "notes.txt").touch()
    again = denet("export", bundle.root, "--monolithic", "--out", folder, "--force")
    refused(again, "notes.txt", "move that elsewhere")


def check_triton(path: Path, state: State, signature: dict[str, list[object]]) -> None:
    """By Triton's own protocol, and by what the graph reads and makes without the batch."""
    from google.protobuf import text_format

    from runtime.serve import messages

    response = messages.ModelConfigResponse()
    text_format.Parse(path.read_text(), response.config, allow_unknown_field=True)
    assert response.config.max_batch_size == 16
    text = path.read_text()
    assert f'name: "denet_{state.name.replace("+", "_")}"' in text
    for name, (_, *rest) in signature.items():
        assert f'name: "{name}" data_type: TYPE_FP32 dims: [ {", ".join(map(str, rest))} ]' in text


NVINFER = (
    "gpu-id gie-unique-id operate-on-gie-id process-mode network-type output-tensor-meta onnx-file "
    "model-engine-file batch-size network-mode infer-dims model-color-format net-scale-factor "
    "maintain-aspect-ratio scaling-filter output-blob-names"
)
"""Names that DeepStream's parser knows, of those in gstnvinfer_property_parser.h."""


def test_deepstream_finds_only_names_that_it_knows(bundle: Bundle) -> None:
    state = RGB_NIR_TIR.parse("tir")
    text = deepstream_config(state, bundle.manifest, "int8-trt", 8, "../trt/x/tir.engine")
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser.sections() == ["property"]
    found = dict(parser["property"])
    assert set(found) == set(NVINFER.split())
    assert found["infer-dims"] == "3;64;32"
    assert found["network-mode"] == "1"
    assert found["onnx-file"] == "../tir.onnx"
    assert found["process-mode"] == "2"


REFUSALS: dict[str, tuple[Callable[[Path], list[object]], tuple[str, ...]]] = {
    "precision": (lambda p: ["--out", p / "g", "--precision", "int8"], ("has no int8", "fp32")),
    "unknown": (lambda p: ["--out", p / "g", "--precision", "int4"], ("'int4'",)),
    "target": (lambda p: ["--out", p / "g", "--target", "gpu"], ("--target gpu", "trt")),
    "data": (lambda p: ["--out", p / "g", "--calibration-data", p], ("is a bundle", "calibrate")),
    "not ours": (lambda p: ["--out", p / "b.denet", "--force"], ("holds no graphs",)),
    "nowhere": (lambda p: ["--out", p / "no" / "g"], ("does not exist",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_one_line(case: str, bundle_path: Path, tmp_path: Path) -> None:
    copied(bundle_path, tmp_path).rename(tmp_path / "b.denet")
    arguments, words = REFUSALS[case]
    before = sorted(tmp_path.iterdir())
    refused(denet("export", tmp_path / "b.denet", "--monolithic", *arguments(tmp_path)), *words)
    assert sorted(tmp_path.iterdir()) == before


def test_the_variant_is_the_default_of_the_bundle(outcome: Outcome) -> None:
    assert choose_variant(outcome.bundle, "auto", ("trt",))[0] == "mixed-trt"
    assert choose_variant(outcome.bundle, "int8", ("vnni", "avx2"))[0] == "int8-avx2"
    with pytest.raises(GraphsError, match="has no int8 made for vnni"):
        choose_variant(outcome.bundle, "int8", ("vnni",))


@pytest.mark.tensorrt
def test_nvidia_builds_an_engine_of_each(outcome: Outcome, tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    asked = ["--monolithic", "--precision", "int8", "--trt"]
    done = denet("export", outcome.bundle.root, *asked, "--out", folder)
    assert done.exit_code == 0, done.output
    facts = json.loads((folder / GRAPHS).read_bytes())
    assert facts["precision"] == "int8-trt"
    for graph in facts["graphs"].values():
        assert (folder / graph["engine"]).read_bytes()
        built = json.loads((folder / graph["engine"]).with_suffix(".json").read_bytes())
        assert built["layers"]["int8"] > built["layers"]["fp16"] > 0
        assert built["spec"]["source_sha256"] == graph["file"]["sha256"]
    text = (folder / "deepstream" / "rgb.txt").read_text()
    assert f"model-engine-file=../{facts['graphs']['rgb']['engine']}\n" in text
    again = denet("export", outcome.bundle.root, "--monolithic", "--out", folder, "--force")
    assert again.exit_code == 0, again.output  # the engines and their cache were its own


@pytest.mark.tensorrt
@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_nvidia_keeps_to_the_precision_of_a_graph(
    outcome: Outcome, tmp_path: Path, name: Precision
) -> None:
    bundle, state = outcome.bundle, RGB_NIR_TIR.parse("tir")
    forms = bundle.manifest.forms(name, None)
    assert forms is not None
    file = store(tmp_path, "tir.onnx", state_graph(bundle, state, forms))
    build = GraphBuild(check_machine(BuildOptions()), BuildOptions())
    path = build(tmp_path, state, file, forms, bundle.manifest, lambda _: None)
    layers = json.loads((tmp_path / path).with_suffix(".json").read_bytes())["layers"]
    assert [kind for kind in ("int8", "fp16", "fp32") if layers[kind]] == [name]
    wrong = dict.fromkeys(forms, "fp16" if name == "fp32" else "fp32")
    with pytest.raises(BuildError, match=r"tir as one graph: not built: .* was asked for, but"):
        build(tmp_path, state, file, wrong, bundle.manifest, lambda _: None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_checkpoint_becomes_graphs_at_once(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    done = denet("export", checkpoint, "--monolithic", "--precision", "fp16", "--out", folder)
    assert done.exit_code == 0, done.output
    assert json.loads((folder / GRAPHS).read_bytes())["precision"] == "fp16"
    assert [path.name for path in tmp_path.iterdir()] == ["graphs"]
