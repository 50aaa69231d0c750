"""Fixtures that cost seconds are made once for the whole run, whichever process needs one first:
one small model, its bundle, a data set, and a calibration."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from filelock import FileLock

from calibration import CalibrationRequest, Outcome, calibrate
from calibration.observe import QUANTIZED_BINS
from calibration.scores import measure_scores, put_scores
from denet.checkpoint import load_checkpoint, save_checkpoint
from denet.config import ModelConfig
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.files import file_digest
from denet.initialize import initial_model
from denet.model import DENet
from export import export_bundle
from runtime import Bundle, Runtime

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would only spin
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where they take more: no spinning
else:
    torch.set_num_threads(2)

SMALL = ModelConfig(backbone="resnet10", image_size=(64, 32), cmft_width=32, dem_channels=16)
"""C = 512, a feature map of 4x2; everything else as in the full model."""


FEW_BINS = QUANTIZED_BINS + 16
LIGHT = msgspec.structs.replace(SMALL, backbone="timm:test_resnet", cmft_width=8)
"""Of the same shapes but for its channels: where the backbone is not what is looked at."""

TINY = ModelConfig(backbone="timm:test_resnet", image_size=(32, 16), cmft_width=4, dem_channels=4)
"""Is trained in seconds."""


@pytest.fixture(scope="session", autouse=True)
def state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Not that of whoever runs the tests: there is the key of a machine's engines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("STATE_DIRECTORY", raising=False)
        yield


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, in one of the processes that share a run."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_once(tmp_path_factory, "small", SMALL)


def checkpoint_once(factory: pytest.TempPathFactory, name: str, config: ModelConfig) -> Path:
    """The checkpoint of an untrained network."""

    def make(folder: Path) -> None:
        model = initial_model(config, seed=0, pretrained=False)
        save_checkpoint(model, folder / f"{name}.safetensors", replace=True)

    return made_once(factory, f"{name}-checkpoint", make) / f"{name}.safetensors"


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> DENet:
    """Read, not made again: another process could make it with other last bits."""
    return load_checkpoint(checkpoint)


@pytest.fixture(scope="session")
def bundle_path(model: DENet, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle to read; a test that changes one copies it first."""
    return bundle_once(tmp_path_factory, model, checkpoint)


def bundle_once(factory: pytest.TempPathFactory, model: DENet, checkpoint: Path) -> Path:
    """The bundle of a checkpoint."""
    name = checkpoint.stem

    def make(folder: Path) -> None:
        digest = file_digest(checkpoint)
        export_bundle(model, folder / f"{name}.denet", checkpoint_sha256=digest)

    return made_once(factory, f"{name}-bundle", make) / f"{name}.denet"


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
    config = SyntheticConfig(identities=24, cameras=3, shots=2, height=64, width=32)
    return (
        made_once(
            tmp_path_factory, "data", lambda folder: write_synthetic(folder / "synthetic", config)
        )
        / "synthetic"
    )


@pytest.fixture(scope="session")
def outcome(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A calibration for a CPU without VNNI, which every CPU can run, and for TensorRT."""

    return calibrated_once(tmp_path_factory, "calibrated", bundle_path, data)


def calibrated_once(
    factory: pytest.TempPathFactory, name: str, bundle_path: Path, data: Path
) -> Outcome:
    """The calibration of a copy of a bundle."""

    def make(folder: Path) -> None:
        request = CalibrationRequest(data=data, platforms=("avx2", "trt"), budget=100.0, samples=20)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("calibration.observe.BINS", FEW_BINS)
            found = calibrate(copied(bundle_path, folder), request)
        (folder / "outcome.pickle").write_bytes(pickle.dumps(found))

    folder = made_once(factory, name, make)
    found: Outcome = pickle.loads((folder / "outcome.pickle").read_bytes())
    return found


@pytest.fixture(scope="session")
def scored_path(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with scores that were measured on `data`."""

    def make(folder: Path) -> None:
        whole = Bundle.open(copied(bundle_path, folder))
        with Runtime.load(whole, "ort-cpu") as runtime:
            put_scores(whole, measure_scores(runtime, data))

    return made_once(tmp_path_factory, "scored", make) / "model.denet"


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histograms with few bins, where ranges do not have to be good: the entropy method takes 7
    seconds otherwise."""
    monkeypatch.setattr("calibration.observe.BINS", FEW_BINS)
