"""The commands that calibrate, and those that take what was calibrated."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
from calibration import Outcome
from denet.data.records import open_data
from runtime import Bundle, BundleError, Runtime
from runtime.bundle.slim import slim
from tests.command import denet, refused
from tests.conftest import copied
from tests.paths import SAMPLES

DIM, WIDE = 24, 576


@pytest.mark.usefixtures("coarse")
def test_export_and_calibration_in_one_go(
    checkpoint: Path, bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.bundle.check_parity", lambda *_, **__: [])
    monkeypatch.setattr("export.bundle.to_onnx", lambda g, _: bundle.read_engine(g.name, "fp32"))
    out = tmp_path / "m.denet"
    refused(denet("export", checkpoint, "--out", out, "--precision", "int8"), "--calibration-data")
    arguments = ("export", checkpoint, "--out", out, "--precision", "int8", "--target", "avx2")
    refused(denet(*arguments, "--calibration-data", tmp_path / "none"), "none", "no such folder")
    tight = denet(*arguments, "--calibration-data", data / "train", "--budget", "1")
    refused(tight, "budget of 0", "Nothing was written")
    assert not out.exists()
    done = denet(*arguments, "--calibration-data", data, "--budget", "100")
    assert done.exit_code == 0, done.output
    assert Bundle.open(out).manifest.variants == ("fp32", "int8-avx2")
    assert [p.name for p in tmp_path.iterdir()] == ["m.denet"]


def test_the_commands_take_the_new_precisions(outcome: Outcome, data: Path) -> None:
    root = outcome.bundle.root
    for precision in ("int8", "mixed"):
        done = denet("verify", root, "--backend", "ort-cpu", "--precision", precision, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["precision"] == precision
    done = denet("eval", root, data, "--precision", "int8", "--backend", "ort-cpu", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(denet("inspect", root, "--json").stdout)
    assert set(facts["engines"]["branch_rgb"]["bytes"]) == {"fp32", "fp16", "int8-avx2", "int8-trt"}
    assert denet("inspect", root).exit_code == 0
    refused(denet("verify", root, "--precision", "int4"), "int4", "can run here")


def test_calibrate_prints_and_reports(
    bundle_path: Path, data: Path, table: Path, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    page = tmp_path / "page.html"
    arguments = ("calibrate", root, data, "--target", "avx2", "--budget", "100", "--table", table)
    done = denet(*arguments, "--report", page)
    assert done.exit_code == 0, done.output
    assert "runs in mixed from now on" in " ".join(done.stdout.split())
    assert re.search(r"[+-]?\d\.\d\d \([+-]?\d\.\d\d, ", done.stdout), "no column is hidden"
    assert "rgb+nir+tir" in page.read_text()
    refused(denet(*arguments, "--report", page), "page.html", "--force")
    done = denet(*arguments, "--json")
    assert json.loads(done.stdout)


def test_slim_keeps_one_precision(outcome: Outcome, data: Path, tmp_path: Path) -> None:
    whole = outcome.bundle
    sample = open_data(data).train[0].open()
    for variant, forms in (("int8-avx2", {"int8-avx2"}), ("fp32", {"fp32"})):
        out = tmp_path / f"{variant}.denet"
        made = slim(whole, out, variant)
        assert made.manifest.variants == (variant,)
        assert {f for e in made.manifest.engines.values() for f in e.files} == forms
        precision = variant.partition("-")[0]
        with (
            Runtime.load(made, "ort-cpu", check=True) as small,
            Runtime.load(whole, "ort-cpu", precision) as large,
        ):
            np.testing.assert_array_equal(small.embed(sample), large.embed(sample))
        with pytest.raises(BundleError, match="--force"):
            slim(whole, out, variant)
        slim(whole, out, variant, replace=True)
    size = sum(f.stat().st_size for f in (tmp_path / "int8-avx2.denet").rglob("*.onnx"))
    assert size < 0.35 * sum(f.stat().st_size for f in (tmp_path / "fp32.denet").rglob("*.onnx"))
    with pytest.raises(BundleError, match="has no 'int8-vnni', only fp32"):
        slim(whole, tmp_path / "x.denet", "int8-vnni")
    (tmp_path / "file").mkdir()
    with pytest.raises(BundleError, match="not a bundle"):
        slim(whole, tmp_path / "file", "fp32")
    done = denet("slim", whole.root, "--out", tmp_path / "cli.denet", "--precision", "int8-avx2")
    assert done.exit_code == 0, done.output


def test_export_projects_and_then_calibrates(
    bundle_path: Path,
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[tuple[str, int]] = []

    def exported(_model: object, out: Path, **options: Any) -> Bundle:
        shutil.copytree(bundle_path, out)
        options["finish"](out)
        return Bundle.open(out)

    def calibrated(root: Path, _request: object) -> None:
        done.append(("calibrated", Bundle.open(root).manifest.head.dim))

    monkeypatch.setattr("export.bundle.export_bundle", exported)
    monkeypatch.setattr(cli, "run_calibration", calibrated)
    out = tmp_path / "m.denet"
    options = ("--embedding-dim", DIM, "--calibration-data", data, "--budget", 100)
    command = denet("export", checkpoint, "--out", out, *options)
    assert command.exit_code == 0, command.output
    assert Bundle.open(out).manifest.head.dim == DIM
    assert done == []  # the data was for the projection alone
    shutil.rmtree(out)
    command = denet("export", checkpoint, "--out", out, *options, "--precision", "fp16")
    assert command.exit_code == 0, command.output
    assert done == [("calibrated", DIM)]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "--calibration-data"),
        (("--calibration-data", "nowhere"), "no such folder"),
        (("--calibration-data", "{data}", "--embedding-dim", WIDE), f"makes {WIDE}"),
        (("--calibration-data", SAMPLES), "no known layout"),
    ],
)
def test_export_refuses_before_it_begins(
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    word: str,
) -> None:
    filled = [str(o).replace("{data}", str(data)) for o in options]
    command = ("export", checkpoint, "--out", tmp_path / "m.denet", "--embedding-dim", 128)
    refused(denet(*command, *filled), word)
    assert list(tmp_path.iterdir()) == []
