"""Fixtures of several tests of the package."""

from __future__ import annotations

import pytest

from denet.config import ModelConfig, Normalization
from denet.data.records import DataSet, open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    thermal = Normalization(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3), range16=(7000, 9000))
    return ModelConfig(
        backbone="resnet18",
        image_size=(64, 32),
        last_stride=2,
        cbam_reduction=8,
        cmft_width=4,
        dem_channels=2,
        neck="after",
        normalization={"tir": thermal},
    )


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """8 identities, half of them to train: 16 samples each."""
    path = tmp_path_factory.mktemp("data") / "synthetic"
    config = SyntheticConfig(identities=8, cameras=2, shots=2, height=32, width=16)
    write_synthetic(path, config)
    return open_data(path)
