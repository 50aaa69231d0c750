"""The model card of a bundle: what is written in it, what follows, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from denet.provenance import provenance_of
from runtime import Bundle, BundleError
from runtime.bundle.card import CardError, CardText, ModelCard, read_card
from runtime.bundle.describe_card import card_rows
from tests.command import denet
from tests.runtime.bundle.damage import edit_manifest

TRAINING = provenance_of(
    "street", "RGBNT201", "0" * 64, {"train": {"pretrained": False}}, identities=30, samples=400
)

WHOLE = """
name = "Gate 3"
description = '''People at a gate,
seen from above.'''
intended_use = "counting"
limits = ["no children", "no rain"]
licence = "CC BY 4.0"
authors = "A and B"
contact = "c@example.org"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "card.toml"
    path.write_text(text)
    return path


def test_a_card_is_read_as_it_is_written(tmp_path: Path) -> None:
    assert read_card(written(tmp_path, WHOLE)) == CardText(
        name="Gate 3",
        description="People at a gate,\nseen from above.",
        intended_use="counting",
        limits=("no children", "no rain"),
        licence="CC BY 4.0",
        authors="A and B",
        contact="c@example.org",
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("licens = 'MIT'", "licens"),
        ("licence = 3", "licence"),
        ("limits = 'one'", "limits"),
        ('name = "a\\u001bb"', "name"),
        ('name = "a\\nb"', "name"),
        (f'description = "{"x" * 5000}"', "description"),
        ("name = ", "card.toml"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(CardError) as refusal:
        read_card(written(tmp_path, text))
    assert "card.toml" in str(refusal.value)
    assert named in str(refusal.value)


def test_what_is_not_known_is_a_limit() -> None:
    unknown = " ".join(ModelCard().limits())
    assert all(word in unknown for word in ("trained on", "accuracy", "licence"))
    known = ModelCard(text=CardText(licence="MIT", limits=("no rain",)), training=TRAINING)
    assert known.limits()[0] == "no rain"
    assert "licence" not in " ".join(known.limits())
    assert "trained on" not in " ".join(known.limits())


def carded(root: Path, card: dict[str, Any]) -> Path:
    edit_manifest(root, lambda manifest: manifest.update(card=card))
    return root


def test_a_bundle_shows_its_card_and_a_slim_one_keeps_it(copied: Path, tmp_path: Path) -> None:
    card = {
        "text": {"name": "Gate 3", "limits": ["no [rain]"], "licence": "CC BY 4.0"},
        "tested": {
            **{"data": "street", "layout": "RGBNT201", "precision": "fp32"},
            **{"queries": 10, "gallery": 20, "identities": 5, "cameras": 2},
            "states": {"rgb+nir+tir": [81.25, 90.0], "tir": [12.5, 20.0]},
        },
    }
    carded(copied, card)
    slim = tmp_path / "slim.denet"
    assert denet("slim", copied, "--out", slim).exit_code == 0
    assert Bundle.open(slim).manifest.model_card == Bundle.open(copied).manifest.model_card
    shown = denet("inspect", slim)
    assert shown.exit_code == 0, shown.output
    for text in ("Gate 3", "no [rain]", "CC BY 4.0", "81.2", "12.5", "20"):
        assert text in shown.output
    facts = json.loads(denet("inspect", slim, "--json").stdout)["card"]
    assert facts["tested"]["states"]["tir"] == [12.5, 20.0]
    assert facts["limits"][0] == "no [rain]"
    assert facts["text"]["licence"] == "CC BY 4.0"


def test_a_bundle_of_before_says_that_nothing_is_known(copied: Path) -> None:
    edit_manifest(copied, lambda manifest: manifest.pop("card", None))
    rows = dict(card_rows(Bundle.open(copied).manifest))
    assert "not known" in rows["limits"]


@pytest.mark.parametrize(
    "card",
    [
        {"text": {"name": "a\u001b[2Jb"}},
        {"text": {"other": "x"}},
        {"tested": {"states": {}}},
        {"training": {"data": "x"}},
        {"text": {"limits": ["x"] * 1000}},
    ],
)
def test_a_strangers_card_cannot_reach_the_terminal(copied: Path, card: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(carded(copied, card))
