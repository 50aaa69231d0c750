"""A model that retrieves behind its neck."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import export.bundle
from denet.graph import RGB_NIR_TIR
from denet.model import DENet
from export import export_bundle
from runtime import Bundle, BundleError, Runtime
from runtime.bundle.manifest import Manifest
from tests.runtime.bundle.damage import npz, put_listed
from tests.runtime.photographs import (
    DIM,
    assert_close,
    cosine,
    of_pytorch,
    relative_error,
    samples_in,
)

STATES = RGB_NIR_TIR.states


@pytest.fixture(scope="module")
def behind_neck(model: DENet) -> DENet:
    """The network of `model`, with retrieval behind a BN neck that has seen something."""
    config = msgspec.structs.replace(model.config, neck="after")
    made = DENet(config)
    made.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (made.neck.weight, made.neck.running_var):
            assert tensor is not None
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
        for tensor in (made.neck.bias, made.neck.running_mean):
            assert tensor is not None
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return made.eval()


@pytest.fixture(scope="module")
def neck_path(behind_neck: DENet, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("neck") / "neck.denet"
    with pytest.MonkeyPatch.context() as patch:  # the engines are those of `bundle`
        patch.setattr(export.bundle, "to_onnx", lambda g, _: bundle.read_engine(g.name, "fp32"))
        patch.setattr(export.bundle, "check_parity", lambda *_, **__: [])
        export_bundle(behind_neck, path, checkpoint_sha256="0" * 64)
    return path


def test_a_model_that_retrieves_behind_its_neck(
    behind_neck: DENet, neck_path: Path, runtime: Runtime
) -> None:
    samples = samples_in(STATES)
    with Runtime.load(neck_path, "ort-cpu", check=True) as loaded:
        found, parts = loaded.embed_batch(samples), loaded.parts(samples)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    for sample, embedding in zip(samples, found, strict=True):
        _, expected = of_pytorch(behind_neck, sample)
        assert cosine(embedding, expected) >= 0.99999
        assert relative_error(embedding, expected) <= 1e-3
    assert_close(parts, runtime.parts(samples))  # the neck is behind the parts
    before = runtime.embed_batch(samples)
    assert all(cosine(a, b) < 0.99 for a, b in zip(found, before, strict=True))


def test_the_neck_is_a_listed_file_of_its_bundle(neck_path: Path) -> None:
    manifest: Manifest = Bundle.open(neck_path).manifest
    assert manifest.head.affine is not None
    files = {p.relative_to(neck_path).as_posix() for p in neck_path.rglob("*") if p.is_file()}
    assert files == {f.path for f in manifest.files()} | {"manifest.json"}


ONES = np.ones(DIM, np.float32)


@pytest.mark.parametrize("content", [npz(scale=ONES), npz(scale=ONES, shift=ONES[:3])])
def test_a_neck_that_does_not_fit_is_refused(
    neck_path: Path, tmp_path: Path, content: bytes
) -> None:
    root = Path(shutil.copytree(neck_path, tmp_path / "copy.denet", copy_function=os.link))
    path = Bundle.open(root).manifest.head.affine
    assert path is not None
    put_listed(root, path.path, content)
    with pytest.raises(BundleError, match="shift"):
        Runtime.load(root, "ort-cpu")
