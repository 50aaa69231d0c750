"""A data set in each layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.denet.data.sets import RGBNT201_TEST, RGBNT201_TRAIN, split, wide


@pytest.fixture
def rgbnt201(tmp_path: Path) -> Path:
    root = tmp_path / "RGBNT201"
    split(root / "train_171", *RGBNT201_TRAIN)
    split(root / "test", *RGBNT201_TEST)
    return root


@pytest.fixture
def rgbnt100(tmp_path: Path) -> Path:
    root = tmp_path / "RGBNT100"
    wide(root / "rgbir/bounding_box_train", "0502_c0001_000", "0007_c0008_012")
    wide(root / "rgbir/query", "0031_c0002_003")
    wide(root / "rgbir/bounding_box_test", "0031_c0002_003", "0031_c0005_001")
    return root


@pytest.fixture
def market(tmp_path: Path) -> Path:
    root = tmp_path / "Market1501-MM"
    split(root / "train", "0002_c1s1_000451_03", "0002_c6s4_000451_03")
    split(root / "query", "1501_c3s2_000001_00")
    split(
        root / "gallery",
        "1501_c4s2_000001_01",
        "-1_c1s1_000401_03",
        "0000_c2s1_000151_01",
    )
    return root
