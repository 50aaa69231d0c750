"""What an exported bundle holds: its files, its engines, and what they cost."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message

from denet.config import ModelConfig
from denet.files import file_digest
from denet.graph import RGB_NIR_TIR, branch_engine, cmft_engine, dem_engine
from denet.model import DENet
from export.engines import engine_graphs
from runtime import Bundle
from tests.conftest import SMALL
from tests.paths import ROOT

ENGINES = RGB_NIR_TIR.engines
MODALITIES = RGB_NIR_TIR.modalities
PARTS = RGB_NIR_TIR.parts
STATES = RGB_NIR_TIR.states


CHANNELS, FEATURE = 512, (4, 2)  # ResNet-18, 64x32 at stride 16


def test_the_manifest_lists_exactly_the_files_of_the_bundle(bundle_path: Path) -> None:
    on_disk = {
        p.relative_to(bundle_path).as_posix(): p for p in bundle_path.rglob("*") if p.is_file()
    }
    listed = {file.path: file for file in Bundle.open(bundle_path).manifest.files()}
    expected = {f"onnx/fp32/{engine}.onnx" for engine in ENGINES} | {"canary.npz"}
    assert set(listed) == expected
    assert set(on_disk) == expected | {"manifest.json"}
    for path, file in listed.items():
        assert file.bytes == on_disk[path].stat().st_size
        assert file.sha256 == hashlib.sha256(on_disk[path].read_bytes()).hexdigest()


def test_the_manifest_describes_the_model(bundle: Bundle, checkpoint: Path) -> None:
    manifest = bundle.manifest
    assert manifest.checkpoint_sha256 == file_digest(checkpoint)
    assert manifest.model["backbone"] == SMALL.backbone
    assert (manifest.channels, manifest.feature_size) == (CHANNELS, FEATURE)
    assert (manifest.head.dim, manifest.head.affine) == (6 * CHANNELS, None)
    assert (manifest.preprocessing.height, manifest.preprocessing.width) == SMALL.image_size
    assert manifest.variants == ("fp32",)
    assert set(manifest.preprocessing.modalities) == set(MODALITIES)


def test_the_canary_has_every_state_of_unit_embeddings(bundle: Bundle) -> None:
    arrays = bundle.read_arrays(bundle.manifest.canary.file)
    for state in STATES:
        embeddings = arrays[f"embedding_{state}"]
        assert embeddings.shape == (2, PARTS * CHANNELS)
        assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


EXPORT_AGAIN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(2)
from denet.checkpoint import load_checkpoint
from denet.files import file_digest
import export.bundle
export.bundle.check_parity = lambda *_, **__: []
checkpoint = Path(sys.argv[1])
export.bundle.export_bundle(
    load_checkpoint(checkpoint), Path("again"), checkpoint_sha256=file_digest(checkpoint)
)
"""


@pytest.mark.slow
def test_another_export_of_the_checkpoint_gives_the_same_bytes(
    bundle_path: Path, checkpoint: Path, tmp_path: Path
) -> None:
    # In a process of its own, elsewhere: other hash seed, other process id, other directory.
    subprocess.run(
        [sys.executable, "-c", EXPORT_AGAIN, str(checkpoint)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        check=True,
    )
    first = {p.relative_to(bundle_path): p for p in bundle_path.rglob("*") if p.is_file()}
    again = {
        p.relative_to(tmp_path / "again"): p for p in tmp_path.rglob("again/**/*") if p.is_file()
    }
    assert first.keys() == again.keys()
    different = [str(n) for n in first if file_digest(first[n]) != file_digest(again[n])]
    assert different == []


def messages(message: Message) -> Iterator[Message]:
    """`message` and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                yield from messages(inner)


def signature(engine: str) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]:
    """What docs/bundle.md says an engine takes and gives; a string is a dynamic axis."""
    feature, vector, vectors = ("B", 512, 4, 2), ("B", 512), ("T", "B", 512)
    if engine.startswith("branch"):
        return {"image": ("B", 3, 64, 32)}, {"feature": feature, "pooled": vector}
    if engine.startswith("cmft"):
        return {"feature": feature}, {"pooled": vector}
    return {"feature": feature, "base": vectors, "sum": vectors}, {"enhanced": vectors}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_a_clean_onnx_model_with_the_signature_of_the_manifest(
    bundle: Bundle, engine: str
) -> None:
    content = bundle.read_engine(engine, "fp32")
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    for message in messages(model):
        assert not getattr(message, "metadata_props", None)
        assert not getattr(message, "doc_string", None)
        assert not getattr(message, "external_data", None)
        assert getattr(message, "data_location", 0) == onnx.TensorProto.DEFAULT
    for note in (b"/work/", b"site-packages", b"/home/", str(ROOT).encode()):
        assert note not in content

    listed = bundle.manifest.engines[engine]
    for tensors, specs, expected in zip(
        (model.graph.input, model.graph.output),
        (listed.inputs, listed.outputs),
        signature(engine),
        strict=True,
    ):
        assert {spec.name: spec.shape for spec in specs} == expected
        assert [tensor.name for tensor in tensors] == [spec.name for spec in specs]
        for tensor in tensors:
            assert tensor.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            dims = tensor.type.tensor_type.shape.dim
            found = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in dims]
            assert all(found), "an axis has neither a size nor a name"
            assert [isinstance(d, str) or d for d in found] == [
                isinstance(d, str) or d for d in expected[tensor.name]
            ]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_weights_of_an_engine_are_in_it_once(bundle: Bundle, engine: str) -> None:
    # What an engine reads at run time is what the benchmark counts and a GPU must hold.
    model = onnx.load_from_string(bundle.read_engine(engine, "fp32"))
    contents = [t.raw_data for t in model.graph.initializer if len(t.raw_data) > 4096]
    assert len(contents) == len(set(contents))
    assert sum(map(len, contents)) > 0.95 * bundle.manifest.engines[engine].files["fp32"].bytes


def edge_flops(channels: int, width: int) -> int:
    """An edge at batch 1 and one target: two operations for each weight and feature value."""
    positions = 16 * 8
    query = key = value = out = channels * width
    return 2 * (query + key + width + channels * positions * 2 + value + out)


def cmft_flops(channels: int, width: int) -> int:
    """A CMFT: (inputs, outputs, kernel area, positions of the output) of each convolution."""
    half, quarter, image = width // 2, width // 4, 48
    small, middle, large = 16 * 8, 32 * 16, 64 * 32
    convolutions = [
        (channels, width, 1, small),
        (width, half * 4, 9, small),
        (half, quarter * 4, 9, middle),
        (quarter, image, 9, large),
        (image, quarter, 1, large),
        (quarter, half, 9, middle),
        (half, width, 9, small),
        (width, channels, 1, 1),
    ]
    return 2 * sum(a * b * kernel * positions for a, b, kernel, positions in convolutions)


def test_edges_and_transformations_cost_little_beside_a_branch() -> None:
    graphs = {graph.name: graph for graph in engine_graphs(DENet(ModelConfig()))}
    branch = graphs[branch_engine("rgb")].flops()
    cmft = graphs[cmft_engine("rgb", "nir")].flops()
    edge = graphs[dem_engine("rgb", "nir")].flops()
    # ResNet-50 is known for 4.1 G multiplications at 224x224 with stride 32. Pixels change that
    # by 0.65, and the last stage, 0.8 G of it, costs four times as much at stride 1.
    assert branch == pytest.approx(2 * 0.653 * (3.3e9 + 4 * 0.81e9), rel=0.1)
    assert cmft == pytest.approx(cmft_flops(2048, 256), rel=0.001)
    assert edge == pytest.approx(edge_flops(2048, 256), rel=0.001)
    assert edge < 0.01 * branch
    assert cmft < 0.15 * branch


def test_the_manifest_counts_the_operations_of_its_own_engines(
    bundle: Bundle, model: DENet
) -> None:
    for graph in engine_graphs(model):
        assert bundle.manifest.engines[graph.name].flops == graph.flops() > 0
