"""Fixtures that cost seconds are made once for the whole run: one small model and its bundle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from calibration import Outcome, Request, calibrate
from denet.checkpoint import file_digest, save_checkpoint
from denet.config import ModelConfig
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.initialize import initial_model
from denet.model import DENet
from export import export_bundle
from runtime import Bundle, Runtime

torch.set_num_threads(2)

SMALL = ModelConfig(backbone="resnet18", image_size=(64, 32), cmft_width=32, dem_channels=16)
"""C = 512, a feature map of 4x2; everything else as in the full model."""


@pytest.fixture(scope="session")
def model() -> DENet:
    return initial_model(SMALL, seed=0, pretrained=False)


@pytest.fixture(scope="session")
def checkpoint(model: DENet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(model, path, replace=True)
    return path


@pytest.fixture(scope="session")
def bundle_path(model: DENet, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle to read; a test that changes one copies it first."""
    path = tmp_path_factory.mktemp("bundle") / "small.denet"
    export_bundle(model, path, checkpoint_sha256=file_digest(checkpoint))
    return path


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.open(bundle_path)


@pytest.fixture(scope="session")
def runtime(bundle: Bundle) -> Runtime:
    return Runtime.load(bundle, "ort-cpu")


def copied(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle to change. Its files are links: nothing may write into one."""
    return Path(shutil.copytree(bundle, folder / "model.denet", copy_function=os.link))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 identities, half of them to train: 72 triplets."""
    root = tmp_path_factory.mktemp("data") / "synthetic"
    config = SyntheticConfig(identities=24, cameras=3, shots=2, height=64, width=32)
    write_synthetic(root, config)
    return root


@pytest.fixture(scope="session")
def outcome(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A calibration for a CPU without VNNI, which every CPU can run, and for TensorRT."""
    root = copied(bundle_path, tmp_path_factory.mktemp("calibrated"))
    request = Request(data=data, targets=("avx2", "trt"), budget=100.0, samples=20)
    return calibrate(root, request)
