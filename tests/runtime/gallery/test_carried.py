"""Scores that a bundle carries: who puts them there, what keeps them, and who goes by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.emit import Emitted
from calibration.half import add_fp16
from calibration.scores import put_scores
from calibration.write import write
from denet.graph import RGB_NIR_TIR
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BundleError
from runtime.bundle.slim import slim
from runtime.gallery import GalleryError, Space, read_scores
from runtime.gallery.scores import carried_scores, scores_text
from runtime.seal import sealed
from tests.command import denet, refused
from tests.conftest import copied
from tests.paths import SAMPLES
from tests.runtime.bundle.damage import edit_manifest
from tests.runtime.gallery.people import table_of

COMPLETE = RGB_NIR_TIR.complete


def test_the_command_puts_them_into_the_bundle(
    bundle_path: Path, scored_path: Path, data: Path, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    assert carried_scores(Bundle.open(root)) is None
    done = denet("gallery", "calibrate", root, data, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["out"] == str(root)
    found, again = (carried_scores(Bundle.open(each)) for each in (root, scored_path))
    assert found is not None
    assert again is not None
    assert found.table.pairs == again.table.pairs
    assert facts["least_false_match_rate"] == found.least_rate
    # What it carries is what a file has.
    copy = tmp_path / "scores.json"
    copy.write_bytes((root / "scores.json").read_bytes())
    assert read_scores(copy, Space.of(Bundle.open(root).manifest)).table == found.table


def test_a_manifest_without_them_is_the_same_as_before_there_were_any(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    assert "scores" not in json.loads(bundle.content)
    assert sealed(bundle.manifest) == bundle.content


def test_scores_that_are_there_are_replaced(scored_path: Path, tmp_path: Path) -> None:
    root = copied(scored_path, tmp_path)
    space = Space.of(Bundle.open(root).manifest)
    drawn = table_of({(COMPLETE, COMPLETE): [0.1, 0.2]}, space)
    found = carried_scores(put_scores(Bundle.open(root), drawn))
    assert found is not None
    assert found.table.data == "drawn"
    assert carried_scores(Bundle.open(scored_path)) is not None  # the files of which are links
    other = table_of({(COMPLETE, COMPLETE): [0.1]}, Space(space.dim, "0" * 64, ""))
    with pytest.raises(GalleryError, match="another model"):
        put_scores(Bundle.open(root), other)
    again = carried_scores(Bundle.open(root))
    assert again is not None
    assert again.table == found.table


def test_what_makes_a_bundle_of_one_keeps_them(scored_path: Path, tmp_path: Path) -> None:
    whole = Bundle.open(scored_path)
    known = carried_scores(whole)
    assert known is not None
    slimmed = carried_scores(slim(whole, tmp_path / "slim.denet", "fp32"))
    assert slimmed is not None
    assert slimmed.table == known.table
    root = copied(scored_path, tmp_path / "calibrated")
    limits = {"data": "x", "samples": 1, "seed": 0, "method": "minmax", "judged": 1}
    write(
        Bundle.open(root),
        Emitted(),
        b"{}",
        calibration=limits,
        mixed={},
        judged={},
        min_cosine={},
        default="fp32",
    )
    calibrated = carried_scores(Bundle.open(root))
    assert calibrated is not None
    assert calibrated.table == known.table
    halved = carried_scores(add_fp16(copied(scored_path, tmp_path)).bundle)
    assert halved is not None
    assert halved.table == known.table


def test_damage_is_found(scored_path: Path, tmp_path: Path) -> None:
    root = copied(scored_path, tmp_path)
    path = root / "scores.json"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        carried_scores(Bundle.open(root))
    path.unlink()
    with pytest.raises(BundleError, match=r"scores\.json: missing"):
        Bundle.open(root)


def test_scores_of_another_model_are_none_of_the_bundle(scored_path: Path, tmp_path: Path) -> None:
    root = copied(scored_path, tmp_path)
    edit_manifest(root, lambda manifest: manifest.update(checkpoint_sha256="1" * 64))
    with pytest.raises(GalleryError, match="another model"):
        carried_scores(Bundle.open(root))


def test_a_search_goes_by_them(
    bundle_path: Path, scored_path: Path, path: Path, tmp_path: Path
) -> None:
    denet("gallery", "enrol", path, SAMPLES, "--bundle", bundle_path)
    look = ("gallery", "search", path, SAMPLES, "--bundle", scored_path, "--json")
    known = carried_scores(Bundle.open(scored_path))
    assert known is not None
    for query in json.loads(denet(*look, "--fmr", 0.1).stdout)["queries"]:
        assert query["matches"][0]["identity"] == query["query"].partition("_")[0]
        for match in query["matches"]:
            assert known.least_rate <= match["false_match_rate"] <= 0.1
    by_cosine = json.loads(denet(*look, "--threshold", 0.5).stdout)["queries"]
    assert "false_match_rate" not in by_cosine[0]["matches"][0]
    without = ("gallery", "search", path, SAMPLES, "--bundle", bundle_path)
    refused(denet(*without, "--fmr", 0.1), "--fmr needs --scores")
    shown = denet(*without)
    assert "which is no match" in shown.stderr
    assert "which is no match" not in denet(*without, "--threshold", 0.5).stderr
    (tmp_path / "s.json").write_bytes(scores_text(known.table))
    assert "no match" not in denet(*without, "--scores", tmp_path / "s.json").stderr
