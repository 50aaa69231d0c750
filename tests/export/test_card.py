"""What an export writes into the model card is what is known and what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from denet.checkpoint import save_checkpoint
from denet.initialize import initial_model
from denet.provenance import provenance_of
from runtime import Bundle
from tests.command import denet, refused
from tests.conftest import TINY

TRAINING = provenance_of(
    "street", "RGBNT201", "0" * 64, {"train": {"pretrained": False}}, identities=30, samples=400
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tells of its training."""
    path = tmp_path_factory.mktemp("known") / "m.safetensors"
    model = initial_model(TINY, seed=0, pretrained=False)
    save_checkpoint(model, path, provenance=TRAINING)
    return path


@pytest.fixture(scope="module")
def exported(known: Path, data: Path) -> Path:
    """A bundle of it with a card, measured."""
    return export(known, data, "m.denet")


def export(known: Path, data: Path, name: str) -> Path:
    card, out = known.parent / "card.toml", known.parent / name
    card.write_text('licence = "CC BY 4.0"\n')
    made = denet("export", known, "--out", out, "--card", card, "--test-data", data)
    assert made.exit_code == 0, made.output
    return out


def test_an_export_writes_what_is_known_and_what_it_measures(
    known: Path, exported: Path, data: Path, tmp_path: Path
) -> None:
    out = exported
    manifest = Bundle.open(out).manifest
    assert manifest.model_card.training == TRAINING
    assert manifest.model_card.text.licence == "CC BY 4.0"
    tested = manifest.model_card.tested
    assert tested is not None
    # PyTorch on the checkpoint is the independent measurement.
    facts = json.loads(denet("eval", known, data, "--json").stdout)["states"]
    assert set(tested.states) == set(facts)
    for state, (map_, r1) in tested.states.items():
        assert abs(map_ - facts[state]["mAP"]) < 0.1
        assert abs(r1 - facts[state]["R1"]) < 1.0
    assert denet("verify", out).exit_code == 0
    page = tmp_path / "report.html"
    assert denet("report", data, known, out, "--out", page).exit_code == 0
    assert page.read_text().count("Model card of") == 2
    assert "CC BY 4.0" in page.read_text()


def test_the_same_checkpoint_gives_the_same_card(
    known: Path, exported: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = Bundle.open(exported)  # a slow test exports them twice
    monkeypatch.setattr("export.bundle.check_parity", lambda *_, **__: [])
    monkeypatch.setattr("export.bundle.to_onnx", lambda g, _: engines.read_engine(g.name, "fp32"))
    again = export(known, data, "again.denet")
    first, second = ((path / "manifest.json").read_bytes() for path in (exported, again))
    assert first == second


def test_what_cannot_be_used_is_refused_before_anything_is_written(
    known: Path, tmp_path: Path
) -> None:
    out, wrong = tmp_path / "m.denet", tmp_path / "card.toml"
    wrong.write_text("licens = 'MIT'\n")
    refused(denet("export", known, "--out", out, "--card", wrong), "card.toml", "licens")
    refused(denet("export", known, "--out", out, "--test-data", tmp_path / "none"), "none")
    assert not out.exists()
