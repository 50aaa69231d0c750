"""What an exported bundle holds, and the damaged and foreign bundles that are refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message

from denet.config import ModelConfig
from denet.files import file_digest
from denet.graph import (
    ENGINES,
    MODALITIES,
    PARTS,
    STATES,
    State,
    branch_engine,
    cmft_engine,
    dem_engine,
)
from denet.model import DENet
from export.engines import engine_graphs
from runtime import Bundle, BundleError, Runtime
from tests.conftest import SMALL
from tests.paths import ROOT

BRANCH = "onnx/fp32/branch_rgb.onnx"
CHANNELS, FEATURE = 512, (4, 2)  # ResNet-18, 64x32 at stride 16


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy to damage. Its files are links: replace one by `put`, never write into it."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.denet", copy_function=os.link))


def put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def edit_manifest(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((root / "manifest.json").read_text())
    edit(document)
    put(root / "manifest.json", json.dumps(document).encode())


def put_listed(root: Path, path: str, content: bytes) -> None:
    """Replace a file, and what the manifest says about it."""
    put(root / path, content)

    def update(document: Any) -> None:
        if isinstance(document, dict):
            if document.get("path") == path:
                document.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
            for value in document.values():
                update(value)

    edit_manifest(root, update)


def assert_refused(action: Callable[[], object], *named: str) -> None:
    with pytest.raises(BundleError) as refusal:
        action()
    for name in named:
        assert name in str(refusal.value)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def test_the_fixture_bundle_is_whole(bundle_path: Path) -> None:
    Bundle.open(bundle_path).verify()


@pytest.mark.parametrize("path", [BRANCH, "onnx/fp32/dem_tir2rgb.onnx", "canary.npz"])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_changed_byte_is_found_before_anything_is_loaded(
    copied: Path, path: str, where: str
) -> None:
    content = bytearray((copied / path).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[where]] ^= 1
    put(copied / path, bytes(content))
    bundle = Bundle.open(copied)
    file = next(f for f in bundle.manifest.files() if f.path == path)
    name = Path(path).name
    assert_refused(bundle.verify, name, "sha256")
    assert_refused(lambda: bundle.read(file), name, "sha256")
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", preload=True), name, "sha256")
    assert_refused(lambda: Runtime.load(bundle, "ort-cpu", check=True), name, "sha256")


def test_a_damaged_file_that_is_not_needed_yet_is_found_meanwhile(copied: Path) -> None:
    path = "onnx/fp32/cmft_tir2nir.onnx"
    put(copied / path, b"\0" + (copied / path).read_bytes()[1:])
    rgb = {"rgb": np.zeros((64, 32, 3), np.uint8)}
    with Runtime.load(copied, "ort-cpu") as loaded:
        wait([loaded._verification])
        for action in (
            lambda: loaded.embed(rgb),
            lambda: loaded.prepare([State.parse("rgb")]),
            lambda: loaded.embed(rgb),  # again and again
        ):
            assert_refused(action, "cmft_tir2nir.onnx", "sha256")


def test_a_file_that_changes_after_opening_is_refused_when_it_is_read(copied: Path) -> None:
    bundle = Bundle.open(copied)
    put(copied / BRANCH, (copied / BRANCH).read_bytes()[:-1] + b"\0\0")
    assert_refused(lambda: bundle.read_engine("branch_rgb", "fp32"), "branch_rgb.onnx")
    (copied / BRANCH).unlink()
    assert_refused(lambda: bundle.read_engine("branch_rgb", "fp32"), "branch_rgb.onnx")


def test_an_engine_damaged_after_loading_is_refused_when_it_is_first_needed(copied: Path) -> None:
    loaded = Runtime.load(copied, "ort-cpu")
    wait([loaded._verification])
    path = copied / "onnx/fp32/branch_tir.onnx"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    put(path, bytes(content))
    image = np.zeros((8, 8), np.uint8)
    assert loaded.embed({"rgb": image}).shape == (loaded.dim,)
    assert_refused(lambda: loaded.embed({"tir": image}), "branch_tir.onnx", "sha256")


@pytest.mark.parametrize("path", [BRANCH, "canary.npz"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_truncated_file_is_refused(copied: Path, path: str, length: int) -> None:
    put(copied / path, (copied / path).read_bytes()[:length])
    assert_refused(lambda: Bundle.open(copied), Path(path).name, f"{length} bytes")


@pytest.mark.parametrize("path", [BRANCH, "canary.npz"])
def test_a_missing_file_is_refused(copied: Path, path: str) -> None:
    (copied / path).unlink()
    assert_refused(lambda: Bundle.open(copied), Path(path).name, "missing")


def test_a_directory_in_the_place_of_a_file_is_refused(copied: Path) -> None:
    (copied / BRANCH).unlink()
    (copied / BRANCH).mkdir()
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx")


def set_path(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(path=path)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda d: d["engines"].pop("dem_rgb2nir"), "dem_rgb2nir"),
        (lambda d: d["engines"].update(dem_rgb2rgb=d["engines"]["dem_rgb2nir"]), "dem_rgb2rgb"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["engines"]["branch_rgb"].update(surprise=1), "surprise"),
        (lambda d: d["canary"]["file"].update(surprise=1), "surprise"),
        (lambda d: d.pop("head"), "head"),
        (lambda d: d["preprocessing"].update(height="64"), "height"),
        (lambda d: d["preprocessing"].update(height=0), "height"),
        (lambda d: d["preprocessing"].update(interpolation="nearest"), "interpolation"),
        (lambda d: d["preprocessing"]["modalities"].pop("tir"), "tir"),
        (lambda d: d["preprocessing"]["modalities"]["tir"].update(mean=[0.5]), "mean"),
        (lambda d: d["engines"].update(branch_rgb=[]), "engines"),
        (lambda d: d.update(engines={}), "branch_rgb"),
        (lambda d: d["engines"]["branch_rgb"].update(flops=1.5), "flops"),
        (lambda d: d["engines"]["branch_rgb"]["files"].clear(), "fp32"),
        (lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(bytes=-1), "bytes"),
        (lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(sha256="0"), "sha256"),
        (lambda d: d["engines"]["branch_rgb"]["files"].update(fp8={}), "files"),
        (lambda d: d.update(default_precision="int8"), "int8"),
        (lambda d: d.update(schema=2), "schema 2"),
        (lambda d: d.update(schema=None), "schema None"),
        (lambda d: d.update(schema="1"), "schema '1'"),
        (lambda d: d.pop("schema"), "schema None"),
        (lambda d: d.update(format="other"), "denet bundle"),
        (lambda d: d.pop("format"), "denet bundle"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    copied: Path, edit: Callable[[dict[str, Any]], object], named: str
) -> None:
    edit_manifest(copied, edit)
    assert_refused(lambda: Bundle.open(copied), "manifest.json", named)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.onnx",
        "onnx/../../outside.onnx",
        "onnx/../onnx/fp32/branch_rgb.onnx",  # ends inside, but no exporter writes it
        "/etc/hostname",
        "onnx\\fp32\\branch_rgb.onnx",
        "..\\outside.onnx",
        "C:\\outside.onnx",
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(copied: Path, path: str) -> None:
    shutil.copy(copied / BRANCH, copied.parent / "outside.onnx")
    edit_manifest(copied, set_path(path))
    assert_refused(lambda: Bundle.open(copied), "manifest.json", repr(path), "leaves")


@pytest.mark.parametrize("path", ["", ".", "onnx", "onnx/fp32/none.onnx"])
def test_a_path_that_is_no_file_is_refused(copied: Path, path: str) -> None:
    edit_manifest(copied, set_path(path))
    assert_refused(lambda: Bundle.open(copied), str(copied / path))


@pytest.mark.parametrize("path", ["onnx/\0.onnx", "x" * 5000 + ".onnx"], ids=["null", "long"])
def test_a_path_that_no_file_can_have_is_refused(copied: Path, path: str) -> None:
    edit_manifest(copied, set_path(path))
    assert_refused(lambda: Bundle.open(copied))


def test_a_symbolic_link_that_leaves_the_bundle_is_refused(copied: Path) -> None:
    outside = copied.parent / "outside.onnx"
    shutil.copy(copied / BRANCH, outside)
    (copied / BRANCH).unlink()
    (copied / BRANCH).symlink_to(outside)
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx", "leaves")


def test_a_linked_folder_that_leaves_the_bundle_is_refused(copied: Path) -> None:
    (copied / "onnx").rename(copied.parent / "onnx")
    (copied / "onnx").symlink_to(copied.parent / "onnx")
    assert_refused(lambda: Bundle.open(copied), "leaves")


def test_a_symbolic_link_inside_the_bundle_and_to_the_bundle_is_followed(copied: Path) -> None:
    (copied / BRANCH).rename(copied / "branch.onnx")
    (copied / BRANCH).symlink_to(copied / "branch.onnx")
    link = copied.parent / "link.denet"
    link.symlink_to(copied)
    Bundle.open(link).verify()


def test_a_symbolic_link_to_itself_is_refused(copied: Path) -> None:
    (copied / BRANCH).unlink()
    (copied / BRANCH).symlink_to(copied / BRANCH)
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe\0",
        b"[]",
        b"null",
        b'"denet-bundle"',
        b'{"format": "denet-bundle", "schema": 1}',
        b"[" * 100_000,
        b'{"format": "denet-bundle", "schema": 1e999}',
    ],
    ids=["empty", "text", "binary", "list", "null", "string", "bare", "deep", "huge"],
)
def test_a_manifest_that_is_none_is_refused(copied: Path, content: bytes) -> None:
    put(copied / "manifest.json", content)
    assert_refused(lambda: Bundle.open(copied), "manifest.json")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_manifest_is_refused(copied: Path, share: float) -> None:
    content = (copied / "manifest.json").read_bytes()
    put(copied / "manifest.json", content[: int(len(content) * share)])
    assert_refused(lambda: Bundle.open(copied), "manifest.json", "damaged")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.denet"
    file.write_bytes(b"")
    for root, reason in [
        (tmp_path, "no manifest.json"),
        (tmp_path / "none.denet", "no such bundle"),
        (file, "not a bundle"),
        (file / "below", "no such bundle"),
    ]:
        assert_refused(lambda root=root: Bundle.open(root), str(root), reason)
        assert_refused(lambda root=root: Runtime.load(str(root)), str(root))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        b"PK\x03\x04 and nothing behind it",
        npz(image_rgb=np.zeros((1, 4, 4, 3), np.uint8)),
        npz(image_rgb=np.array([{"pickled": "object"}])),
    ],
    ids=["empty", "text", "torn-archive", "incomplete", "pickle"],
)
def test_a_canary_that_is_none_is_refused_though_the_manifest_lists_it(
    copied: Path, content: bytes
) -> None:
    put_listed(copied, "canary.npz", content)
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", check=True), "canary.npz")


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {k: v[:0] for k, v in arrays.items()},
        lambda arrays: {k: v[:1] if k == "image_rgb" else v for k, v in arrays.items()},
        lambda arrays: {k: v[:, 1:] if k.startswith("emb") else v for k, v in arrays.items()},
        lambda arrays: {k: v[0] for k, v in arrays.items()},
    ],
    ids=["no-samples", "too-few-images", "other-dimension", "no-batch-axis"],
)
def test_a_canary_of_other_shapes_is_refused(
    copied: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with np.load(copied / "canary.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    put_listed(copied, "canary.npz", npz(**change(arrays)))
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", check=True), "canary.npz")


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
    """What DESIGN says an engine takes and gives; a string is a dynamic axis."""
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
