"""Exports that fail leave nothing behind; exports that disagree with PyTorch are not written."""

from __future__ import annotations

import copy
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
import torch

import export.bundle
from denet.config import ModelConfig
from denet.errors import DenetError
from denet.graph import Composition
from denet.initialize import initial_model, random_images
from denet.model import DENet
from export import ExportError, export_bundle
from export.engines import EngineGraph
from export.onnx import Traced, to_onnx
from runtime import Bundle, Runtime
from runtime.head import Head
from tests.conftest import TINY

OTHER_CHECKPOINT = "1" * 64


@pytest.fixture(scope="module")
def model() -> DENet:
    """A smaller one than that of other tests: this file exports it some thirty times."""
    return initial_model(TINY, seed=0, pretrained=False)


@pytest.fixture(scope="module")
def bundle(model: DENet, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_plainly(model, tmp_path_factory.mktemp("bundle") / "tiny.denet")


@pytest.fixture(autouse=True)
def quick(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are traced once: seconds less for each export."""
    monkeypatch.setattr(
        export.bundle, "to_onnx", lambda graph, _: bundle.read_engine(graph.name, "fp32")
    )


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No comparison with PyTorch, where something else is under test."""
    monkeypatch.setattr(export.bundle, "check_parity", lambda *_, **__: [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where bundles are exported to, with something else in it."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep me")
    return folder


def contents(root: Path) -> dict[str, str]:
    """Every path below `root`, hidden ones too, with the digest of what is in it."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "directory"
        for path in sorted(root.rglob("*"))
    }


def assert_fails(model: DENet, out: Path, *named: str, replace: bool = False) -> str:
    """The export raises ExportError, and nothing beside `out`, or in it, is other than before."""
    before = contents(out.parent)
    with pytest.raises(ExportError) as failure:
        export_bundle(model, out, checkpoint_sha256=OTHER_CHECKPOINT, replace=replace)
    message = str(failure.value)
    for name in named:
        assert name in message
    assert contents(out.parent) == before
    return message


def fail_in_call(number: int, error: BaseException) -> Callable[[int], None]:
    """`os.fsync`, but the `number`-th call raises `error`: a file is written, but not kept."""
    flush = os.fsync
    calls = 0

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise error
        flush(descriptor)

    return failing


def export_plainly(model: DENet, out: Path, *, replace: bool = False) -> Bundle:
    return export_bundle(model, out, checkpoint_sha256=OTHER_CHECKPOINT, replace=replace)


def test_an_export_makes_the_bundle_and_nothing_else(model: DENet, folder: Path) -> None:
    before = contents(folder)
    steps: list[str] = []
    made = export_bundle(
        model, folder / "new.denet", checkpoint_sha256=OTHER_CHECKPOINT, notify=steps.append
    )
    made.verify()
    assert made.root == folder / "new.denet"
    assert made.manifest.checkpoint_sha256 == OTHER_CHECKPOINT
    assert {p.name for p in folder.iterdir()} == {*before, "new.denet"}
    assert len(steps) == export.bundle.export_steps(model.graph)
    assert set(model.graph.engines) <= set(steps)


@pytest.mark.usefixtures("unchecked")
def test_an_export_to_a_name_in_the_working_directory(
    model: DENet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    export_plainly(model, Path("here.denet")).verify()
    assert {p.name for p in folder.iterdir()} == {"notes.txt", "here.denet"}


@pytest.mark.parametrize("kind", ["file", "empty directory", "full directory"])
@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_bundle_is_never_touched(
    model: DENet, folder: Path, kind: str, replace: bool
) -> None:
    out = folder / "precious"
    if kind == "file":
        out.write_text("data")
    else:
        out.mkdir()
    if kind == "full directory":
        (out / "data.txt").write_text("data")
    assert_fails(model, out, str(out), "not a bundle", replace=replace)


@pytest.mark.usefixtures("unchecked")
def test_a_link_that_leads_nowhere_is_never_touched(model: DENet, folder: Path) -> None:
    out = folder / "link.denet"
    out.symlink_to(folder / "nowhere")
    assert_fails(model, out, str(out), replace=True)
    assert out.is_symlink()


@pytest.mark.usefixtures("unchecked")
def test_a_bundle_is_replaced_only_when_that_is_asked_for(model: DENet, folder: Path) -> None:
    out = folder / "model.denet"
    export_bundle(model, out, checkpoint_sha256="2" * 64)
    assert_fails(model, out, str(out), "exists already", "--force")
    foreign = out / "notes.txt"
    foreign.write_text("precious")
    assert_fails(model, out, str(out), "notes.txt", "move that elsewhere", replace=True)
    foreign.unlink()
    assert export_plainly(model, out, replace=True).manifest.checkpoint_sha256 == OTHER_CHECKPOINT
    assert {p.name for p in folder.iterdir()} == {"notes.txt", "model.denet"}


def test_a_missing_parent_is_not_made(model: DENet, folder: Path) -> None:
    out = folder / "none" / "model.denet"
    with pytest.raises(ExportError) as failure:
        export_plainly(model, out)
    assert str(out.parent) in str(failure.value)
    assert set(contents(folder)) == {"notes.txt"}


def test_a_file_as_the_parent_is_refused(model: DENet, folder: Path) -> None:
    with pytest.raises(ExportError, match=r"notes\.txt"):
        export_plainly(model, folder / "notes.txt" / "model.denet")
    assert set(contents(folder)) == {"notes.txt"}


@pytest.mark.parametrize("kind", [k for k in get_args(Composition) if k != "dynamic"])
def test_only_the_dynamic_composition_is_exported(
    folder: Path, kind: Composition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.bundle, "_write", None)  # nothing is begun
    config = ModelConfig(
        backbone="resnet10", image_size=(32, 16), cmft_width=4, dem_channels=4, composition=kind
    )
    other = DENet(config).eval()
    assert_fails(other, folder / "new.denet", f'new.denet: composition "{kind}" is not exported')


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("neck", ["before", "after", "centred"])
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_weight_of_the_anchor_s_half_is_part_of_the_bundle(
    model: DENet, folder: Path, neck: str, weight: float
) -> None:
    weighted = copy.copy(model)  # the same engines
    weighted._modules = dict(model._modules)
    weighted.config = msgspec.structs.replace(model.config, neck=neck, anchor_weight=weight)
    weighted.neck = copy.deepcopy(model.neck)
    torch.manual_seed(0)
    torch.nn.init.normal_(weighted.neck.running_mean)
    torch.nn.init.uniform_(weighted.neck.running_var, 0.5, 2)
    torch.nn.init.uniform_(weighted.neck.weight, 0.5, 2)
    torch.nn.init.normal_(weighted.neck.bias)
    made = export_plainly(weighted, folder / "new.denet")
    half = 3 * model.channels
    with np.load(made.root / "head.npz") as head:
        scale, shift = head["scale"], head["shift"]
    if neck == "before":
        assert (scale[:half] == 1).all()
        assert (scale[half:] == np.float32(weight)).all()
        assert not shift.any()
    images = {m: random_images(2, model.config.image_size) for m in model.graph.modalities}
    with Runtime.load(made, "ort-cpu") as runtime, torch.no_grad():
        for state in model.graph.states:
            mine = {m: images[m] for m in state.available}
            output = weighted(mine, state)
            joined = torch.cat(list(output.parts), dim=1)
            if neck == "after":
                joined = weighted.neck(joined)
            if neck == "centred":
                joined = joined - weighted.neck.running_mean
            joined[:, half:] *= weight
            expected = joined / joined.norm(dim=1, keepdim=True)
            assert torch.allclose(output.embedding, expected, atol=1e-6)
            samples = [{m: image[i].numpy() for m, image in mine.items()} for i in range(2)]
            found = runtime.head(runtime.composer.run_tensors(samples))
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


# The trial, and of 17 files: the first engine, one in the middle, the canary, the manifest.
@pytest.mark.parametrize("call", [1, 2, 9, 17, 18])
def test_a_full_disk_leaves_nothing_behind(
    model: DENet, folder: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, "fsync", fail_in_call(call, full))
    assert_fails(model, folder / "new.denet", "new.denet", "No space left")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("call", [1, 18])
def test_a_full_disk_leaves_the_old_bundle_intact(
    model: DENet, folder: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "model.denet"
    export_plainly(model, out)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, "fsync", fail_in_call(call, full))
    assert_fails(model, out, "No space left", replace=True)
    Bundle.open(out).verify()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt()])
def test_a_failing_rename_leaves_the_old_bundle_intact(
    model: DENet, folder: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "model.denet"
    export_plainly(model, out)
    before = contents(folder)

    def failing(*_: Path) -> None:
        raise error

    monkeypatch.setattr("denet.files.put_in_place", failing)
    with pytest.raises((ExportError, KeyboardInterrupt)):
        export_plainly(model, out, replace=True)
    assert contents(folder) == before


@pytest.mark.parametrize("call", [1, 9, 18])
def test_an_interruption_leaves_nothing_behind(
    model: DENet, folder: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fail_in_call(call, KeyboardInterrupt()))
    before = contents(folder)
    with pytest.raises(KeyboardInterrupt):
        export_plainly(model, folder / "new.denet")
    assert contents(folder) == before


@pytest.mark.usefixtures("unchecked")
def test_an_interrupted_comparison_leaves_nothing_behind(model: DENet, folder: Path) -> None:
    before = contents(folder)

    def interrupt(step: str) -> None:
        if step == "canary":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(
            model, folder / "new.denet", checkpoint_sha256=OTHER_CHECKPOINT, notify=interrupt
        )
    assert contents(folder) == before


def perturbed(graph: EngineGraph, amount: float) -> EngineGraph:
    """`graph` with noise on every weight matrix and kernel, relative to their own scale."""
    module = copy.deepcopy(graph.module)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.dim() > 1:
                noise = torch.randn(weight.shape, generator=generator)
                weight.add_(amount * weight.std() * noise)
    return EngineGraph(graph.name, module, graph.inputs, graph.outputs)


@pytest.mark.parametrize(
    ("engine", "tensors", "amount"),
    [
        ("branch_tir", ("feature", "pooled"), 1.0),
        ("cmft_nir2rgb", ("pooled",), 0.05),
        ("dem_rgb2nir", ("enhanced",), 0.05),
    ],
)
def test_an_engine_that_is_not_pytorchs_is_named_and_nothing_is_written(
    model: DENet,
    folder: Path,
    bundle: Bundle,
    engine: str,
    tensors: tuple[str, ...],
    amount: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damaged(graph: EngineGraph, traced: Traced) -> bytes:
        if graph.name == engine:
            return to_onnx(perturbed(graph, amount), traced)
        return bundle.read_engine(graph.name, "fp32")

    monkeypatch.setattr(export.bundle, "to_onnx", damaged)
    message = assert_fails(model, folder / "new.denet", "new.denet", engine, "PyTorch")
    assert any(tensor in message for tensor in tensors)


@pytest.mark.usefixtures("unchecked")
def test_a_model_that_disagrees_with_the_canary_alone_is_not_written(
    model: DENet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The head is in no engine: only the canary sees it.
    monkeypatch.setattr(Head, "__call__", lambda _, parts: parts.reshape(len(parts), -1)[:, ::-1])
    assert_fails(model, folder / "new.denet", "new.denet", "rgb+nir+tir")


def test_a_number_of_threads_that_cannot_be_had_leaves_nothing_behind(
    model: DENet, folder: Path
) -> None:
    before = contents(folder)
    # The session's first runtime has made the process's one pool, with its default size.
    with pytest.raises(DenetError, match="97 threads"):
        export_bundle(model, folder / "new.denet", checkpoint_sha256=OTHER_CHECKPOINT, threads=97)
    assert contents(folder) == before
