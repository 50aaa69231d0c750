"""FP16 without data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calibration import Outcome
from calibration.half import DRAWN, add_fp16, probe_images
from denet.files import file_digest
from denet.graph import RGB_NIR_TIR
from denet.model import DENet
from runtime import Bundle, Runtime
from runtime.canary import read_golden
from tests.calibration.parts import contents, cosine
from tests.command import denet, refused
from tests.conftest import copied
from tests.paths import SAMPLES
from tests.runtime.bundle.damage import edit_manifest


def test_it_adds_fp16_and_changes_nothing_else(bundle_path: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    before = contents(root)
    done = denet("calibrate", root, "--precision", "fp16")
    assert done.exit_code == 0, done.output
    assert "runs in fp16 from now on" in done.output
    made = Bundle.open(root)
    made.verify()
    assert made.manifest.variants == ("fp32", "fp16")
    assert (made.manifest.default_precision, made.manifest.calibration) == ("fp16", None)
    after = contents(root)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: digest for name, digest in before.items() if name != "manifest.json"
    }
    sample = {"rgb": np.full((64, 32, 3), 90, np.uint8), "tir": np.full((64, 32), 160, np.uint8)}
    with (
        Runtime.load(made, "ort-cpu", check=True) as half,
        Runtime.load(made, "ort-cpu", "fp32") as exact,
    ):
        assert half.variant == "fp16"
        assert cosine(half.embed(sample), exact.embed(sample)) > 0.999
    again = json.loads(denet("calibrate", root, "--precision", "fp16", "--json").stdout)
    assert min(again["cosines"].values()) > 0.999
    assert contents(root) == after


def test_what_it_looks_at_is_golden_black_white_and_noise(bundle: Bundle) -> None:
    images = probe_images(bundle, 0)
    golden = read_golden(bundle)
    for modality, made in images.items():
        count = len(golden[f"image_{modality}"])
        assert made.shape == (count + DRAWN, 3, 64, 32)
        black, white, *noise = made[count:]
        assert (black.max(axis=(1, 2)) == black.min(axis=(1, 2))).all()
        assert (black < white).all()
        # No noise goes beyond what black and white are, and the finest comes near to both.
        assert all((black <= image).all() and (image <= white).all() for image in noise)
        spread = [image.std() for image in noise]
        assert min(spread) > 0
        assert len({image.tobytes() for image in noise}) == len(noise)
        np.testing.assert_array_equal(made, probe_images(bundle, 0)[modality])
    assert not np.array_equal(images["rgb"], probe_images(bundle, 1)["rgb"])


@torch.no_grad()
def test_the_largest_value_is_no_less_than_what_pytorch_makes(
    bundle_path: Path, model: DENet, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    made = add_fp16(root, make_default=False)
    assert made.bundle.manifest.default_precision == "fp32"
    images = {m: torch.from_numpy(a) for m, a in probe_images(made.bundle, 0).items()}
    output = model(images, RGB_NIR_TIR.complete)
    seen = [branch.feature.abs().max().item() for branch in output.branches.values()]
    assert made.largest >= 0.999 * max(*seen, output.parts.abs().max().item())
    assert made.samples == len(images["rgb"])
    assert set(made.cosines) == {state.name for state in RGB_NIR_TIR.states}


def test_what_would_overflow_is_named_and_nothing_is_written(
    untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.fp16.LARGEST", 2.0)
    refused(denet("calibrate", untouched, "--precision", "fp16"), "branch_rgb", "half ends at 2")


def test_fp16_that_is_not_fp32_is_refused(untouched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Bundle.open(untouched).read_engine("branch_nir", "fp32")
    monkeypatch.setattr("calibration.half.fp16_engine", lambda _: wrong)
    refused(denet("calibrate", untouched, "--precision", "fp16"))


def test_what_a_calibration_left_is_kept_and_its_ranges_count(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copied(outcome.bundle.root, tmp_path)

    def without_half(document: dict[str, Any]) -> None:
        for engine in document["engines"].values():
            del engine["files"]["fp16"], engine["files"]["int8-trt"]
        del document["mixed"]["trt"]
        for name in ("fp16", "int8-trt", "mixed-trt"):
            del document["canary"]["min_cosine"][name]

    edit_manifest(root, without_half)
    for form in ("fp16", "int8-trt"):
        shutil.rmtree(root / "onnx" / form)
    before = {e: f.files["int8-avx2"] for e, f in Bundle.open(root).manifest.engines.items()}
    made = add_fp16(root)
    found = made.bundle.manifest
    assert set(found.variants) == {"fp32", "fp16", "int8-avx2", "mixed-avx2"}
    assert {e: f.files["int8-avx2"] for e, f in found.engines.items()} == before
    assert found.calibration is not None
    with Runtime.load(made.bundle, "ort-cpu", "int8", check=True):
        pass


def test_other_precisions_want_data(untouched: Path, tmp_path: Path) -> None:
    refused(denet("calibrate", untouched), "no DATA")
    refused(denet("calibrate", untouched, "--precision", "int8"), "no DATA")
    page = ("--report", tmp_path / "page.html")
    refused(denet("calibrate", untouched, "--precision", "fp16", *page), "--report")


def test_an_export_in_fp16_needs_no_data(
    checkpoint: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.bundle.check_parity", lambda *_, **__: [])
    monkeypatch.setattr("export.bundle.to_onnx", lambda g, _: bundle.read_engine(g.name, "fp32"))
    out = tmp_path / "m.denet"
    done = denet("export", checkpoint, "--out", out, "--precision", "fp16")
    assert done.exit_code == 0, done.output
    assert "FP16 without data" in done.output
    manifest = Bundle.open(out).manifest
    assert (manifest.variants, manifest.default_precision) == (("fp32", "fp16"), "fp16")
    assert manifest.checkpoint_sha256 == file_digest(checkpoint)
    embedded = denet("embed", out, SAMPLES, "--out", tmp_path / "e.npz")
    assert embedded.exit_code == 0, embedded.output
