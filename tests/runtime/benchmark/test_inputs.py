"""What is embedded: drawn network input and images, and preprocessing taken apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denet.graph import RGB_NIR_TIR
from runtime import Bundle, Runtime
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.images import image_cost
from runtime.benchmark.inputs import drawn_files, network_inputs, opened, read_files, usual_size
from tests.paths import ROOT
from tests.runtime.benchmark.clock import Tick
from tests.runtime.benchmark.shared import quiet

MODALITIES = RGB_NIR_TIR.modalities


def test_network_input_is_that_of_the_model_and_of_the_seed(bundle: Bundle) -> None:
    size = bundle.manifest.preprocessing
    one, other = network_inputs(size, 2, 5)
    assert one["rgb"].shape == (3, size.height, size.width)
    assert not np.array_equal(one["rgb"], other["rgb"])
    assert np.array_equal(network_inputs(size, 1, 5)[0]["tir"], one["tir"])
    assert abs(float(np.mean(one["nir"]))) < 0.1
    assert float(np.std(one["nir"])) == pytest.approx(1, abs=0.1)


def test_drawn_files_are_jpegs_larger_than_the_networks_input(bundle: Bundle) -> None:
    size = bundle.manifest.preprocessing
    files = drawn_files(size, 0)
    images = opened(files, MODALITIES)
    assert [image.format for image in images.values()] == ["JPEG"] * 3
    assert images["tir"].mode == "L"
    assert usual_size([files]) == (96, 48)  # one and a half times 64x32
    assert files == drawn_files(size, 0)


def test_a_users_images_are_the_complete_samples_of_a_folder(tmp_path: Path) -> None:
    assert len(read_files(ROOT / "docs" / "samples", RGB_NIR_TIR)) == 6
    (tmp_path / "RGB").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "RGB" / "a.png")
    with pytest.raises(BenchmarkError, match="no sample has an image of each modality"):
        read_files(tmp_path, RGB_NIR_TIR)


def test_preprocessing_is_taken_apart(runtime: Runtime) -> None:
    manifest = runtime.bundle.manifest
    seconds: Counter[str] = Counter()
    clock = Tick()

    def preprocess(image: Any, modality: Any, out: Any) -> None:
        """As if decoding took 5 ms, resizing 2 ms and normalizing 1 ms."""
        if isinstance(image, Image.Image) and getattr(image, "fp", None) is not None:
            clock.now += 0.005
            seconds["decoded"] += 1
        if image.size != (32, 64):
            clock.now += 0.002
        clock.now += 0.001

    preprocess.shape = (3, 64, 32)  # type: ignore[attr-defined]
    ranges = dict.fromkeys(MODALITIES, (0, 65535))
    files = [drawn_files(manifest.preprocessing, seed) for seed in range(3)]
    found = image_cost(preprocess, files, ranges, 60, clock, quiet)  # type: ignore[arg-type]
    steps = found.decode, found.resize, found.normalize
    assert steps == pytest.approx((15, 6, 3))  # of three images
    assert found.total.p50 == pytest.approx(24)
    assert found.total.runs == 60
    assert found.size == (96, 48)
    assert seconds["decoded"]
