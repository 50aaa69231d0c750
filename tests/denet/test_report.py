"""What an evaluation gives a person: recovered features compared, and the report of models."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from denet.checkpoint import save_checkpoint
from denet.data.records import DataError, DataSet, open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.embed import TorchEmbedder
from denet.evaluate import Split, evaluate_states
from denet.figures import check_folder
from denet.figures.captions import captions
from denet.graph import RGB_NIR_TIR, Edge
from denet.initialize import initial_model
from denet.metrics import Ranking
from denet.model import DENet, DenetOutput
from denet.recovery import Features, RecoveryError, check_recovery, compare_features, mean_recovery
from denet.report import ReportError, short_names
from denet.tables import comparison_rows
from denet.testset import open_split
from tests.command import denet, refused
from tests.conftest import SMALL

PAIRS = RGB_NIR_TIR.pairs
STATES = RGB_NIR_TIR.states


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(path, SyntheticConfig(identities=8, cameras=2, shots=2, height=32, width=16))
    return path


@pytest.fixture(scope="module")
def data(root: Path) -> DataSet:
    return open_data(root)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


# Recovered features


def test_a_perfect_recovery(model: DENet, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def perfect(_: DENet, output: DenetOutput) -> dict[Edge, SimpleNamespace]:
        return {(s, t): SimpleNamespace(pooled=output.branches[t].pooled) for s, t in PAIRS}

    monkeypatch.setattr(DENet, "recover_all", perfect)
    found = check_recovery(model, data.query, batch=5, workers=0)
    assert list(found) == list(PAIRS)
    for recovery in found.values():
        for side in (recovery.raw, recovery.centred):
            assert side.same == pytest.approx(1)
            assert side.auc == 1
            assert side.different < 1
        assert recovery.centred.different < recovery.raw.different


def test_a_constant_recovery_is_chance(
    model: DENet, data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def constant(_: DENet, output: DenetOutput) -> dict[Edge, SimpleNamespace]:
        ones = torch.ones_like(output.branches["rgb"].pooled)
        return {edge: SimpleNamespace(pooled=ones) for edge in PAIRS}

    monkeypatch.setattr(DENet, "recover_all", constant)
    for recovery in check_recovery(model, data.query, batch=32, workers=0).values():
        # Of one vector for all, every sample has the same number of better and worse ones.
        assert recovery.raw.auc == pytest.approx(0.5)
        assert recovery.raw.same == pytest.approx(recovery.raw.different, abs=0.01)


def test_the_recovery_check_against_brute_force() -> None:
    random = np.random.default_rng(0)
    identities = np.array([1, 1, 2, 2, 2, 3, 9])
    # Whole numbers make ties; the first two samples are alike.
    real = random.integers(0, 3, (7, 4)).astype(np.float32)
    real[1] = real[0]
    made = random.integers(0, 3, (7, 4)).astype(np.float32)
    found = compare_features(Features({"tir": real}, {("rgb", "tir"): made}), identities)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        return float(a @ b / lengths) if lengths else 0.0

    recovery = found["rgb", "tir"]
    mean = real.astype(float).mean(axis=0)
    for side, shift in ((recovery.raw, np.zeros(4)), (recovery.centred, mean)):
        same, different, auc = [], [], []
        for i in range(7):
            own = cosine(made[i] - shift, real[i] - shift)
            rest = [
                cosine(made[i] - shift, real[j] - shift)
                for j in range(7)
                if identities[j] != identities[i]
            ]
            same.append(own)
            different.append(np.mean(rest))
            wins = [0.5 if abs(own - other) < 1e-9 else float(own > other) for other in rest]
            auc.append(np.mean(wins))
        assert side.same == pytest.approx(np.mean(same), abs=1e-6)
        assert side.different == pytest.approx(np.mean(different), abs=1e-6)
        if shift is not mean:  # centred whole numbers tie only up to rounding
            assert side.auc == pytest.approx(np.mean(auc))
    assert mean_recovery(found) == recovery


def test_one_identity_cannot_be_told_from_others(model: DENet, data: DataSet) -> None:
    one = [r for r in data.query if r.identity == data.query[0].identity]
    with pytest.raises(RecoveryError, match="two identities"):
        check_recovery(model, one, batch=4, workers=0)


def test_what_recovers_nothing_says_so(root: Path, data: DataSet, tmp_path: Path) -> None:
    config = msgspec.structs.replace(SMALL, composition="concat")
    path = tmp_path / "baseline.safetensors"
    save_checkpoint(initial_model(config, seed=0, pretrained=False), path)
    refused(denet("eval", path, root, "--recovery"), "recovers nothing", "concat")
    result = denet("report", root, path, "--out", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "r.html").read_text()
    assert "recovers nothing" in page
    assert page.count("<img") == 5


# Test data


def test_test_data_must_be_usable(data: DataSet) -> None:
    assert open_split(data) == Split(data.query, data.gallery)
    with pytest.raises(DataError, match="no test data"):
        open_split(replace(data, query=(), gallery=()))
    blind = tuple(r for r in data.gallery if r.camera == 0)
    with pytest.raises(DataError, match="no query can be matched"):
        open_split(replace(data, query=blind, gallery=blind))


# Tables


def test_means_are_of_the_states_that_they_name() -> None:
    rankings = {
        state: Ranking(np.array([0.1 * i]), np.array([i % 2])) for i, state in enumerate(STATES)
    }
    rows = {row.name: row for row in comparison_rows(RGB_NIR_TIR, [rankings])}
    assert list(rows) == [
        "rgb+nir+tir", "rgb+nir", "rgb+tir", "nir+tir", "mean, one missing",
        "rgb", "nir", "tir", "mean, two missing", "mean, all states",
    ]  # fmt: skip
    assert rows["nir+tir"].values == ((pytest.approx(30), 0),)
    assert rows["mean, one missing"].values[0] == pytest.approx((20, 100 / 3))
    assert rows["mean, two missing"].values[0] == pytest.approx((50, 200 / 3))
    assert rows["mean, all states"].values[0] == pytest.approx((30, 400 / 7))


def test_names_are_as_short_as_they_can_be() -> None:
    paths = [Path(p) for p in ("a/run/best.st", "b/run/best.st", "b/last.st")]
    assert short_names(paths) == ["a/run/best.st", "b/run/best.st", "last.st"]
    with pytest.raises(ReportError, match=r"last\.st: is given twice"):
        short_names([*paths, Path("./b/last.st")])


# denet report


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_checkpoint(initial_model(SMALL, seed=9, pretrained=False), path)
    return path


def test_a_report_of_checkpoints_and_a_bundle(
    root: Path, data: DataSet, model: DENet, checkpoint: Path, other: Path, bundle_path: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    out = tmp_path / "report.html"
    result = denet("report", root, other, checkpoint, bundle_path, "--out", out, "--batch", 7)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json"}

    facts = json.loads(out.with_suffix(".json").read_text())
    names = ["other.safetensors", "small.safetensors", "small.denet"]
    assert list(facts["models"]) == names
    assert facts["figures_of"] == "small.safetensors"
    expected = evaluate_states(
        TorchEmbedder(model, torch.device("cpu")), Split(data.query, data.gallery)
    )
    found = facts["models"]["small.safetensors"]
    page = out.read_text()
    for state in STATES:
        assert found["states"][state.name]["mAP"] == pytest.approx(expected[state].map)
        assert found["states"][state.name]["R1"] == expected[state].cmc(1)
        assert f"{expected[state].map:.1f}" in page
        assert f"{expected[state].map:.1f}" in result.stdout
    assert found["means"]["mean, all states"]["mAP"] == pytest.approx(
        np.mean([r.map for r in expected.values()])
    )
    assert len(found["missing_rate"]) == 11
    assert set(found["recovery"]) == {f"{s}>{t}" for s, t in PAIRS} | {"mean"}
    assert not facts["models"]["other.safetensors"]["recovery"]

    (parity,) = facts["parity"]
    assert (parity["checkpoint"], parity["bundle"]) == ("small.safetensors", "small.denet")
    largest = max(
        abs(found["states"][s.name][k] - facts["models"]["small.denet"]["states"][s.name][k])
        for s in STATES
        for k in ("mAP", "R1")
    )
    assert parity["difference"] == pytest.approx(largest)
    assert "differs from its checkpoint" in result.stdout
    assert f"{largest:.2f} points" in page

    assert page.count('src="data:image/png;base64,') == page.count("<img") == 6
    assert not re.search(r"https?://|<script|<link|url\(", page)
    for name in names:
        assert name in page


def test_a_report_of_bundles_has_the_figures_of_embeddings(
    root: Path, bundle_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.html"
    result = denet("report", root, bundle_path, "--out", out)
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert page.count("<img") == 4
    assert "is a bundle, which gives embeddings alone" in page


def test_a_report_that_cannot_be_made(
    root: Path, checkpoint: Path, other: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    (tmp_path / "report.json").write_text("precious")
    refused(denet("report", root, checkpoint, "--out", out), "report.json", "--force")
    refused(denet("report", root, checkpoint, "--out", tmp_path / "r.pdf"), "r.pdf", ".html")
    nowhere = tmp_path / "no" / "r.html"
    refused(denet("report", root, checkpoint, "--out", nowhere), "does not exist")
    (tmp_path / "folder.html").mkdir()
    refused(denet("report", root, checkpoint, "--out", tmp_path / "folder.html"), "is a folder")
    fine = tmp_path / "fine.html"
    refused(denet("report", root, checkpoint, checkpoint, "--out", fine), "given twice")
    refused(denet("report", root, checkpoint, "--out", fine, "--figures-of", other), "one of")
    refused(denet("report", tmp_path, checkpoint, "--out", fine), "no known layout")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.html", "report.json"]
    assert (tmp_path / "report.json").read_text() == "precious"
    refused(
        denet("report", root, checkpoint, "--out", out, "--force"), "report.json", "not replaced"
    )
    assert (tmp_path / "report.json").read_text() == "precious"


# denet eval


def test_eval_draws_and_compares(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    plain = json.loads(denet("eval", checkpoint, root, "--json").stdout)
    result = denet("eval", checkpoint, root, "--figures", folder, "--recovery", "--json",
                   "--batch", 5)  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["states"]["rgb"]["mAP"] == pytest.approx(plain["states"]["rgb"]["mAP"])
    assert (plain["figures"], plain["recovery"], plain["missing_rate"]) == ([], {}, {})
    assert sorted(map(Path, facts["figures"])) == sorted(folder.iterdir())
    assert len(facts["figures"]) == 6
    assert list(facts["missing_rate"]) == [str(i / 10) for i in range(11)]
    assert set(facts["recovery"]["rgb>tir"]["centred"]) == {"same", "different", "auc"}

    refused(denet("eval", checkpoint, root, "--figures", folder), "not empty", "--force")
    (folder / "notes.txt").write_text("precious")
    split = open_split(open_data(root))
    check_folder(folder, captions(split.graph), replace=True)  # all are figures of denet
    Image.new("RGB", (2, 2)).save(folder / "states.png")
    asked = ("eval", checkpoint, root, "--figures", folder, "--force")
    refused(denet(*asked), "states.png", "not a figure of denet")


def test_eval_prints_what_is_asked_for(root: Path, checkpoint: Path) -> None:
    result = denet("eval", checkpoint, root, "--recovery", "--missing-rate", "0:1:0.5")
    assert result.exit_code == 0, result.output
    for words in ("rgb+nir+tir", "50%", "centred", "tir from rgb"):
        assert words in result.stdout


def test_eval_of_a_bundle_says_what_it_cannot_draw(
    root: Path, bundle_path: Path, tmp_path: Path
) -> None:
    refused(denet("eval", bundle_path, root, "--recovery"), str(bundle_path), "checkpoint")
    result = denet("eval", bundle_path, root, "--figures", tmp_path / "f", "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["figures"]) == len(list((tmp_path / "f").iterdir())) == 4
    assert "recovered and activation need its checkpoint" in " ".join(result.stderr.split())


def test_eval_refuses_what_a_checkpoint_does_not_have(root: Path, checkpoint: Path) -> None:
    refused(denet("eval", checkpoint, root, "--backend", "ort-cpu"), "runs in PyTorch")
    refused(denet("eval", checkpoint, root, "--precision", "fp32"), "runs in PyTorch")
